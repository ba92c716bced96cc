#include "chat/jinja/interpreter.h"

#include "base/check.h"
#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/globals.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/print.h"
#include "chat/jinja/tests.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {

Value* Scope::find(int symbol) {
  for (auto& [name, value] : variables) {
    if (name == symbol) return &value;
  }
  return nullptr;
}

void Scope::set(int symbol, Value value) {
  if (Value* present = find(symbol)) {
    *present = std::move(value);
  } else {
    variables.emplace_back(symbol, std::move(value));
  }
}

Interpreter::Interpreter(const Template& program, const Variables& variables, const std::tm& now,
                         const Limits& limits)
    : program_(program), limits_(limits), now_(now), scope_(std::make_shared<Scope>()) {
  outer_.reserve(program.symbols.size());
  for (const std::string& symbol : program.symbols) {
    Value value = find_global(symbol);
    for (const auto& [name, given] : variables) {
      if (name == symbol) value = given;
    }
    outer_.push_back(std::move(value));
  }
}

Interpreter::~Interpreter() {
  // One by one, while the list still holds the others: a chain of them is not destroyed
  // recursively.
  for (const auto& space : namespaces_) space->attributes.clear();
  for (const auto& scope : captured_scopes_) scope->variables.clear();
}

Text Interpreter::render() {
  TextBuffer output;
  out_ = &output;
  try {
    execute(program_.body);
  } catch (const JinjaError& error) {
    if (error.line() > 0) throw;
    throw JinjaError(error.kind(), error.message(), line_, column_);
  }
  return Text(std::make_shared<TextBuffer>(std::move(output)));
}

void Interpreter::charge(uint64_t steps) {
  steps_ += steps;
  if (steps_ > limits_.steps) {
    raise("Unsupported", "rendering takes more than {} steps", limits_.steps);
  }
}

void Interpreter::charge_memory(uint64_t bytes) {
  memory_ += bytes;
  if (memory_ > limits_.memory_bytes) {
    raise("Unsupported", "rendering takes more than {} MiB of memory", limits_.memory_bytes >> 20);
  }
}

Text Interpreter::text_of(const Value& value) {
  if (value.is_string()) return value.text();
  charge(value.weight());
  if (value.is(Kind::kNamespace)) {
    for (const auto& [name, attribute] : value.as<NamespaceObject>().attributes)
      charge(attribute.weight());
  }
  Text text = to_text(value);
  charge_memory(text.size());
  return text;
}

Value Interpreter::new_text(Text text) {
  charge_text(text.size());
  charge_memory(text.size());
  return Value::string(std::move(text));
}

Value Interpreter::new_list(std::vector<Value> items, Kind kind) {
  charge(items.size());
  charge_memory(items.size() * sizeof(Value));
  return Value::sequence(kind, std::move(items), kind == Kind::kIterator ? "generator" : "");
}

bool Interpreter::equal(const Value& left, const Value& right) {
  charge(std::min(left.weight(), right.weight()));
  return equals(left, right);
}

std::vector<Value> Interpreter::items_of(const Value& iterable) {
  std::vector<Value> items;
  switch (iterable.kind()) {
    case Kind::kUndefined:
      break;
    case Kind::kString: {
      const std::string_view all = iterable.view();
      charge_memory(all.size() * sizeof(Value));
      for (size_t at = 0; at < all.size();) {
        const size_t size = character_at(all, at).size;
        // Plain text, also of Markup.
        items.push_back(Value::string(iterable.text().slice(at, at + size)));
        at += size;
      }
      break;
    }
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kRange: {
      const auto& all = iterable.as<Sequence>().items;
      charge_memory(all.size() * sizeof(Value));
      items = all;
      break;
    }
    case Kind::kIterator: {
      Value item;
      while (iterable.as<Sequence>().next(item)) {
        charge_memory(sizeof(Value));
        charge(1);
        items.push_back(std::move(item));
      }
      break;
    }
    case Kind::kDict:
      charge_memory(iterable.as<Dict>().members.size() * sizeof(Value));
      for (const auto& [key, value] : iterable.as<Dict>().members) items.push_back(key);
      break;
    default:
      type_error("'{}' object is not iterable", iterable.type_name());
  }
  charge(items.size());
  return items;
}

Value Interpreter::call(const Value& callee, Arguments& arguments) {
  switch (callee.kind()) {
    case Kind::kUndefined:
      raise_undefined(callee);
    case Kind::kMacro:
      return call_macro(callee.shared(), arguments);
    case Kind::kFunction:
      return callee.as<FunctionObject>().call(*this, arguments);
    case Kind::kMethod: {
      const auto& method = callee.as<MethodObject>();
      return call_method(*this, method.self, method.name, arguments);
    }
    case Kind::kJoiner: {
      BoundArguments none("__call__", arguments, {});
      auto& joiner = callee.as<JoinerObject>();
      return std::exchange(joiner.used, true) ? joiner.separator : Value::string(Text());
    }
    case Kind::kLoop:
      type_error("The loop must have the 'recursive' marker to be called recursively.");
    default:
      type_error("'{}' object is not callable", callee.type_name());
  }
}

Value Interpreter::apply_filter(std::string_view name, const Value& subject, Arguments& arguments) {
  const Filter* filter = find_filter(name);
  if (!filter) raise("TemplateRuntimeError", "No filter named {}.", python_quoted(name));
  charge(1);
  return filter->apply(*this, subject, arguments);
}

bool Interpreter::apply_test(std::string_view name, const Value& subject, Arguments& arguments) {
  const TestRule* test = find_test(name);
  if (!test) raise("TemplateRuntimeError", "No test named {}.", python_quoted(name));
  charge(1);
  return test->holds(*this, subject, arguments);
}

Value Interpreter::new_namespace() {
  namespaces_.push_back(std::make_shared<NamespaceObject>());
  return Value::object(Kind::kNamespace, namespaces_.back());
}

BoundArguments::BoundArguments(const char* function, Arguments& arguments,
                               std::initializer_list<const char*> names, size_t required)
    : values_(names.size(), nullptr), function_(function) {
  if (arguments.positional.size() > names.size()) {
    type_error("{}() takes at most {} argument{} ({} given)", function, names.size(),
               names.size() == 1 ? "" : "s", arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [key, value] : arguments.keyword) {
    size_t i = 0;
    while (i < names.size() && key != names.begin()[i]) ++i;
    if (i == names.size())
      type_error("{}() got an unexpected keyword argument '{}'", function, key);
    if (values_[i]) type_error("{}() got multiple values for argument '{}'", function, key);
    values_[i] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!values_[i])
      type_error("{}() missing 1 required positional argument: '{}'", function, names.begin()[i]);
  }
}

int64_t BoundArguments::integer(size_t i, int64_t otherwise) const {
  if (!has(i)) return otherwise;
  require_defined(at(i));
  if (!at(i).is(Kind::kInteger) && !at(i).is(Kind::kBoolean)) {
    type_error("{}(): '{}' object cannot be interpreted as an integer", function_,
               at(i).type_name());
  }
  return at(i).as_integer();
}

}  // namespace sluice::chat::jinja
