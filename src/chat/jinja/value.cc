#include "chat/jinja/value.h"

#include <charconv>
#include <cmath>

#include "base/check.h"
#include "chat/jinja/error.h"
#include "chat/jinja/print.h"

namespace sluice::chat::jinja {
namespace {

constexpr size_t kIndexFrom = 12;  // members; below this a scan is as fast as a hash

// Containers above what they hold, bounded.
void adopt(Object& parent, const Value& child) {
  // What changes after it was made (a namespace) may hold itself: its depth says nothing, printing
  // guards itself.
  if (child.is(Kind::kNamespace)) return;
  parent.depth = std::max(parent.depth, child.depth() + 1);
  parent.weight = std::min(kMaxWeight, parent.weight + child.weight());
  if (parent.depth > kMaxValueDepth) {
    raise("RecursionError", "values are nested deeper than {} levels", kMaxValueDepth);
  }
}

std::string_view canonical_digits(std::string_view digits) {
  const bool negative = !digits.empty() && digits.front() == '-';
  std::string_view magnitude = digits.substr(negative ? 1 : 0);
  while (magnitude.size() > 1 && magnitude.front() == '0') magnitude.remove_prefix(1);
  return magnitude == "0" ? magnitude : digits;
}

}  // namespace

Value Value::none(bool data) {
  Value value;
  value.kind_ = Kind::kNone;
  value.data_ = data;
  return value;
}
Value Value::boolean(bool boolean, bool data) {
  Value value;
  value.kind_ = Kind::kBoolean;
  value.boolean_ = boolean;
  value.data_ = data;
  return value;
}
Value Value::integer(int64_t integer, bool data) {
  Value value;
  value.kind_ = Kind::kInteger;
  value.integer_ = integer;
  value.data_ = data;
  return value;
}
Value Value::real(double real, bool data) {
  Value value;
  value.kind_ = Kind::kFloat;
  value.real_ = real;
  value.data_ = data;
  return value;
}

Value Value::integer_from_digits(std::string_view digits, bool data) {
  digits = canonical_digits(digits);
  int64_t small = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), small);
  if (error == std::errc() && end == digits.data() + digits.size()) return integer(small, data);
  Value value;
  value.kind_ = Kind::kBigInteger;
  value.data_ = data;
  value.text_ = Text(digits, data);
  return value;
}

Value Value::string(Text text) {
  Value value;
  value.kind_ = Kind::kString;
  value.text_ = std::move(text);
  return value;
}
Value Value::markup(Text text) {
  Value value = string(std::move(text));
  value.markup_ = true;
  return value;
}

Value Value::sequence(Kind kind, std::vector<Value> items, std::string label) {
  auto sequence = std::make_shared<Sequence>();
  sequence->items = std::move(items);
  sequence->label = std::move(label);
  return object(kind, std::move(sequence));
}

Value Value::lazy(const std::vector<Value>& held, std::function<bool(Value&)> pull) {
  auto sequence = std::make_shared<Sequence>();
  for (const Value& value : held) adopt(*sequence, value);
  sequence->label = "generator";
  sequence->pull = std::move(pull);
  return object(Kind::kIterator, std::move(sequence));
}

Value Value::object(Kind kind, std::shared_ptr<Object> object) {
  switch (kind) {
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kRange:
    case Kind::kIterator:
      for (const Value& item : static_cast<Sequence&>(*object).items) adopt(*object, item);
      break;
    case Kind::kDict:
      for (const auto& [key, item] : static_cast<Dict&>(*object).members) {
        adopt(*object, key);
        adopt(*object, item);
      }
      break;
    case Kind::kMethod:
      adopt(*object, static_cast<MethodObject&>(*object).self);
      break;
    case Kind::kCycler:
      for (const Value& item : static_cast<CyclerObject&>(*object).items) adopt(*object, item);
      break;
    case Kind::kJoiner:
      adopt(*object, static_cast<JoinerObject&>(*object).separator);
      break;
    default:
      break;
  }
  Value value;
  value.kind_ = kind;
  value.object_ = std::move(object);
  return value;
}

Value Value::from_json(const Json& json) {
  switch (json.kind()) {
    case Json::Kind::kNull:
      return none(true);
    case Json::Kind::kBoolean:
      return boolean(json.boolean(), true);
    case Json::Kind::kNumber:
      return json.is_integer() ? integer_from_digits(json.spelling(), true)
                               : real(*json.as_double(), true);
    case Json::Kind::kString:
      return string(json.string(), true);
    case Json::Kind::kArray: {
      std::vector<Value> items;
      items.reserve(json.items().size());
      for (const Json& item : json.items()) items.push_back(from_json(item));
      Value value = list(std::move(items));
      value.data_ = true;
      return value;
    }
    case Json::Kind::kObject: {
      auto dict = std::make_shared<Dict>();
      dict->members.reserve(json.members().size());
      for (const auto& [key, member] : json.members()) {
        dict->members.emplace_back(string(key, true), from_json(member));
      }
      Value value = object(Kind::kDict, std::move(dict));
      value.data_ = true;
      return value;
    }
  }
  return none(true);
}

bool Value::is_callable() const {
  return kind_ == Kind::kMacro || kind_ == Kind::kFunction || kind_ == Kind::kMethod ||
         kind_ == Kind::kLoop || kind_ == Kind::kJoiner;
}

bool Value::as_boolean() const {
  SLUICE_CHECK(kind_ == Kind::kBoolean, "kind {}", type_name());
  return boolean_;
}
int64_t Value::as_integer() const {
  SLUICE_CHECK(kind_ == Kind::kBoolean || kind_ == Kind::kInteger, "kind {}", type_name());
  return kind_ == Kind::kBoolean ? boolean_ : integer_;
}
double Value::as_real() const {
  switch (kind_) {
    case Kind::kBoolean:
      return boolean_ ? 1 : 0;
    case Kind::kInteger:
      return static_cast<double>(integer_);
    case Kind::kFloat:
      return real_;
    case Kind::kBigInteger: {
      double value = 0;
      const std::string_view digits = view();
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (error != std::errc()) return digits.front() == '-' ? -HUGE_VAL : HUGE_VAL;
      return value;
    }
    default:
      SLUICE_CHECK(false, "kind {}", type_name());
      return 0;
  }
}
const Text& Value::text() const {
  SLUICE_CHECK(kind_ == Kind::kString || kind_ == Kind::kBigInteger, "kind {}", type_name());
  return text_;
}

const char* Value::type_name() const {
  switch (kind_) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBoolean:
      return "bool";
    case Kind::kInteger:
    case Kind::kBigInteger:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return markup_ ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kView:
    case Kind::kIterator:
      return as<Sequence>().label.c_str();
    case Kind::kRange:
      return "range";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kMacro:
      return "Macro";
    case Kind::kFunction:
      return "function";
    case Kind::kMethod:
      return "builtin_function_or_method";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
  }
  return "object";
}

std::string Value::type_repr() const {
  switch (kind_) {
    case Kind::kNone:
      return "None";
    case Kind::kString:
      return markup_ ? "markupsafe.Markup object" : "str object";
    case Kind::kNamespace:
      return "jinja2.utils.Namespace object";
    case Kind::kCycler:
      return "jinja2.utils.Cycler object";
    case Kind::kJoiner:
      return "jinja2.utils.Joiner object";
    case Kind::kMacro:
      return "jinja2.runtime.Macro object";
    case Kind::kLoop:
      return "jinja2.runtime.LoopContext object";
    default:
      return std::string(type_name()) + " object";
  }
}

std::string UndefinedObject::message() const {
  if (!hint.empty()) return hint;
  if (!has_owner) return python_quoted(name) + " is undefined";
  if (!name_is_text) return owner + " has no element " + name;
  return python_quoted(owner) + " has no attribute " + python_quoted(name);
}

bool Sequence::next(Value& item) {
  if (position < items.size()) {
    item = items[position++];
    return true;
  }
  return pull && pull(item);
}

const Dict::Member* Dict::find_text(std::string_view key) const {
  if (members.size() < kIndexFrom) {
    for (const Member& member : members) {
      if (member.first.is_string() && member.first.view() == key) return &member;
    }
    return nullptr;
  }
  const std::hash<std::string_view> hash;
  for (; indexed_ < members.size(); ++indexed_) {
    const Value& name = members[indexed_].first;
    if (name.is_string()) by_hash_.emplace(hash(name.view()), indexed_);
  }
  const auto [first, last] = by_hash_.equal_range(hash(key));
  for (auto candidate = first; candidate != last; ++candidate) {
    if (members[candidate->second].first.view() == key) return &members[candidate->second];
  }
  return nullptr;
}

const Value* Dict::find(std::string_view key) const {
  const Member* member = find_text(key);
  return member ? &member->second : nullptr;
}

const Value* Dict::find(const Value& key) const {
  if (key.is_string()) return find(key.view());
  if (key.is(Kind::kList) || key.is(Kind::kDict))
    type_error("unhashable type: '{}'", key.type_name());
  for (const Member& member : members) {
    if (equals(member.first, key)) return &member.second;
  }
  return nullptr;
}

void Dict::set(Value key, Value value) {
  if (const Value* present = find(key)) {
    const_cast<Value&>(*present) = std::move(value);
    return;
  }
  members.emplace_back(std::move(key), std::move(value));
}

Value* NamespaceObject::find(std::string_view name) {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}
void NamespaceObject::set(std::string_view name, Value value) {
  if (Value* present = find(name)) {
    *present = std::move(value);
  } else {
    attributes.emplace_back(name, std::move(value));
  }
}

bool LoopObject::peek() {
  if (!ahead.empty()) return true;
  Value next;
  if (!pull || !pull(next)) return false;
  ahead.push_back(std::move(next));
  return true;
}

bool LoopObject::advance() {
  if (!peek()) return false;
  before = std::move(current);
  current = std::move(ahead.front());
  ahead.pop_front();
  ++index0;
  return true;
}

int64_t LoopObject::length() {
  if (!known_length) {
    Value next;
    while (pull && pull(next)) ahead.push_back(std::move(next));
    known_length = index0 + 1 + static_cast<int64_t>(ahead.size());
  }
  return *known_length;
}

void raise_undefined(const Value& undefined) {
  if (!undefined.shared()) raise("UndefinedError", "None is undefined");
  const auto& why = undefined.as<UndefinedObject>();
  throw JinjaError(why.exception, why.message());
}

Value undefined_variable(std::string_view name) {
  auto why = std::make_shared<UndefinedObject>();
  why->name = name;
  return Value::object(Kind::kUndefined, std::move(why));
}
Value undefined_hint(std::string hint, const char* exception) {
  auto why = std::make_shared<UndefinedObject>();
  why->hint = std::move(hint);
  why->exception = exception;
  return Value::object(Kind::kUndefined, std::move(why));
}
Value undefined_attribute(const Value& owner, const Value& name) {
  auto why = std::make_shared<UndefinedObject>();
  why->has_owner = true;
  why->owner = owner.type_repr();
  why->name_is_text = name.is_string();
  why->name = name.is_string() ? std::string(name.view()) : to_text(name, PrintStyle::kRepr).view();
  return Value::object(Kind::kUndefined, std::move(why));
}

}  // namespace sluice::chat::jinja
