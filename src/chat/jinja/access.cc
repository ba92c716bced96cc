// Subscripts, attributes and slices, under the rules of Jinja2's sandbox.
#include <algorithm>
#include <optional>

#include "chat/jinja/error.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

// An attribute that every object has, or every one of some type: the sandbox hides it.
bool is_internal_name(std::string_view name) {
  static constexpr std::string_view kNames[] = {
      "class",   "init",    "doc",          "len",          "getitem",   "iter",   "contains",
      "eq",      "ne",      "lt",           "le",           "gt",        "ge",     "hash",
      "repr",    "str",     "new",          "reduce",       "reduce_ex", "format", "dir",
      "sizeof",  "add",     "mul",          "mod",          "rmod",      "rmul",   "getattribute",
      "setattr", "delattr", "subclasshook", "init_subclass"};
  if (name.size() < 5 || !name.starts_with("__") || !name.ends_with("__")) return false;
  const std::string_view inner = name.substr(2, name.size() - 4);
  return std::find(std::begin(kNames), std::end(kNames), inner) != std::end(kNames);
}

Value unsafe_attribute(const Value& owner, std::string_view name) {
  return undefined_hint(fmt::format("access to attribute {} of '{}' object is unsafe.",
                                    python_quoted(name), owner.type_name()),
                        "SecurityError");
}

std::optional<Value> loop_attribute(LoopObject& loop, std::string_view name) {
  if (name == "index") return Value::integer(loop.index0 + 1);
  if (name == "index0") return Value::integer(loop.index0);
  if (name == "first") return Value::boolean(loop.index0 == 0);
  if (name == "last") return Value::boolean(!loop.peek());
  if (name == "length") return Value::integer(loop.length());
  if (name == "revindex") return Value::integer(loop.length() - loop.index0);
  if (name == "revindex0") return Value::integer(loop.length() - loop.index0 - 1);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem")
    return loop.index0 == 0 ? undefined_hint("there is no previous item") : loop.before;
  if (name == "nextitem")
    return loop.peek() ? loop.ahead.front() : undefined_hint("there is no next item");
  return std::nullopt;
}

std::optional<Value> cycler_attribute(const CyclerObject& cycler, std::string_view name) {
  if (name == "current") return cycler.items[cycler.position];
  if (name == "pos") return Value::integer(static_cast<int64_t>(cycler.position));
  return std::nullopt;
}

std::optional<Value> macro_attribute(const MacroObject& macro, std::string_view name) {
  if (name == "name") return macro.name.empty() ? Value::none() : Value::string(macro.name);
  if (name == "arguments") {
    std::vector<Value> names;
    for (const Parameter& parameter : macro.definition->parameters)
      names.push_back(Value::string(parameter.name));
    return Value::tuple(std::move(names));
  }
  if (name == "caller") return Value::boolean(macro.definition->reads_caller);
  return std::nullopt;
}

// getattr() under the sandbox; nothing if the object has no such attribute.
std::optional<Value> find_attribute(const Value& owner, std::string_view name) {
  std::optional<Value> found;
  switch (owner.kind()) {
    case Kind::kNamespace:
      if (const Value* value = owner.as<NamespaceObject>().find(name)) found = *value;
      break;
    case Kind::kLoop:
      found = loop_attribute(owner.as<LoopObject>(), name);
      break;
    case Kind::kCycler:
      found = cycler_attribute(owner.as<CyclerObject>(), name);
      break;
    case Kind::kMacro:
      found = macro_attribute(owner.as<MacroObject>(), name);
      break;
    default:
      break;
  }
  if (found) return name.starts_with('_') ? unsafe_attribute(owner, name) : *found;
  if (is_internal_name(name)) return unsafe_attribute(owner, name);
  switch (method_access(owner, name)) {
    case MethodAccess::kNone:
      return std::nullopt;
    case MethodAccess::kUnsafe:
      return unsafe_attribute(owner, name);
    case MethodAccess::kSafe:
      break;
  }
  auto method = std::make_shared<MethodObject>();
  method->self = owner;
  method->name = name;
  return Value::object(Kind::kMethod, std::move(method));
}

Value character_of(Interpreter& interpreter, const Value& text, int64_t index) {
  const std::string_view all = text.view();
  interpreter.charge_text(all.size());
  if (index < 0) index += static_cast<int64_t>(count_characters(all));
  const size_t at = index < 0 ? all.size() : byte_offset(all, static_cast<size_t>(index));
  if (at >= all.size()) return {};
  const Text character = text.text().slice(at, at + character_at(all, at).size);
  return text.is_markup() ? Value::markup(character) : Value::string(character);
}

// obj[key]; nothing where Python raises TypeError, LookupError or IndexError.
std::optional<Value> find_element(Interpreter& interpreter, const Value& owner, const Value& key) {
  switch (owner.kind()) {
    case Kind::kDict: {
      if (key.is(Kind::kList) || key.is(Kind::kDict)) return std::nullopt;
      if (!key.is_string()) interpreter.charge(owner.as<Dict>().members.size());
      const Value* value = owner.as<Dict>().find(key);
      return value ? std::optional<Value>(*value) : std::nullopt;
    }
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange: {
      if (!key.is_whole()) return std::nullopt;
      const auto& items = owner.as<Sequence>().items;
      int64_t index = key.as_integer();
      if (index < 0) index += static_cast<int64_t>(items.size());
      if (index < 0 || index >= static_cast<int64_t>(items.size())) return std::nullopt;
      return items[static_cast<size_t>(index)];
    }
    case Kind::kString: {
      if (!key.is_whole()) return std::nullopt;
      Value character = character_of(interpreter, owner, key.as_integer());
      return character.is_undefined() ? std::nullopt : std::optional<Value>(character);
    }
    default:
      return std::nullopt;
  }
}

// The bounds of a slice over `size` items, as Python's slice.indices.
struct SliceIndices {
  int64_t first, last, step;
};

int64_t slice_bound(const Value& bound, int64_t otherwise, int64_t size, bool backward) {
  if (bound.is_none()) return otherwise;
  int64_t index = bound.as_integer();
  if (index < 0) index = index < -size ? -1 : index + size;
  const int64_t low = backward ? -1 : 0, high = backward ? size - 1 : size;
  return std::clamp(index, low, high);
}

SliceIndices slice_indices(const Value& first, const Value& last, const Value& step, int64_t size) {
  const int64_t stride =
      step.is_none() ? 1 : std::clamp<int64_t>(step.as_integer(), -size - 1, size + 1);
  const bool backward = stride < 0;
  return {slice_bound(first, backward ? size - 1 : 0, size, backward),
          slice_bound(last, backward ? -1 : size, size, backward), stride};
}

Value slice_text(Interpreter& interpreter, const Value& owner, const Value& first,
                 const Value& last, const Value& step) {
  const std::string_view all = owner.view();
  interpreter.charge_text(2 * all.size());
  const auto [begin, end, stride] =
      slice_indices(first, last, step, static_cast<int64_t>(count_characters(all)));
  Text text;
  if (stride == 1) {
    if (begin < end) {
      text = owner.text().slice(byte_offset(all, static_cast<size_t>(begin)),
                                byte_offset(all, static_cast<size_t>(end)));
    }
  } else {
    std::vector<size_t> offsets;
    for (size_t at = 0; at < all.size(); at += character_at(all, at).size) offsets.push_back(at);
    interpreter.charge(offsets.size());
    interpreter.charge_memory(all.size());
    offsets.push_back(all.size());
    TextBuilder builder;
    for (int64_t i = begin; stride < 0 ? i > end : i < end; i += stride) {
      const auto at = static_cast<size_t>(i);
      builder.append(owner.text().slice(offsets[at], offsets[at + 1]));
    }
    text = builder.finish();
  }
  return owner.is_markup() ? Value::markup(text) : Value::string(text);
}

}  // namespace

Value get_item(Interpreter& interpreter, const Value& owner, const Value& key) {
  require_defined(owner);
  if (auto element = find_element(interpreter, owner, key)) return *element;
  if (key.is_string()) {
    if (auto attribute = find_attribute(owner, key.view())) return *attribute;
  }
  return undefined_attribute(owner, key);
}

Value get_attribute(Interpreter& interpreter, const Value& owner, const Value& name) {
  require_defined(owner);
  if (auto attribute = find_attribute(owner, name.view())) return *attribute;
  if (auto element = find_element(interpreter, owner, name)) return *element;
  return undefined_attribute(owner, name);
}

Value get_slice(Interpreter& interpreter, const Value& owner, const Value& first, const Value& last,
                const Value& step) {
  require_defined(owner);
  // Jinja2 writes a slice out as Python's own: a mistake is Python's TypeError, not an undefined
  // element.
  if (owner.is(Kind::kDict)) type_error("unhashable type: 'slice'");
  if (!owner.is_string() && !owner.is_sequence() && !owner.is(Kind::kRange)) {
    type_error("'{}' object is not subscriptable", owner.type_name());
  }
  for (const Value* bound : {&first, &last, &step}) {
    if (bound->is(Kind::kBigInteger)) {
      raise("Unsupported", "integers beyond 64 bits are not computed with");
    }
    if (!bound->is_none() && !bound->is_whole()) {
      type_error("slice indices must be integers or None or have an __index__ method");
    }
  }
  if (!step.is_none() && step.as_integer() == 0) value_error("slice step cannot be zero");
  if (owner.is_string()) return slice_text(interpreter, owner, first, last, step);
  const auto& all = owner.as<Sequence>().items;
  const auto [begin, end, stride] =
      slice_indices(first, last, step, static_cast<int64_t>(all.size()));
  std::vector<Value> items;
  for (int64_t i = begin; stride < 0 ? i > end : i < end; i += stride)
    items.push_back(all[static_cast<size_t>(i)]);
  // A part of a range is a list here; only printing it shows.
  const Kind kind = owner.is(Kind::kRange) ? Kind::kList : owner.kind();
  Value slice = interpreter.new_list(std::move(items), kind);
  slice.mark_data(owner.from_data());
  return slice;
}

}  // namespace sluice::chat::jinja
