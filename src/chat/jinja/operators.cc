#include "chat/jinja/operators.h"

#include <cmath>
#include <cstring>

#include "chat/jinja/error.h"
#include "chat/jinja/format.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

const char* symbol_of(Operator op) {
  switch (op) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    case Operator::kPower:
      return "** or pow()";
    case Operator::kLess:
      return "<";
    case Operator::kLessEqual:
      return "<=";
    case Operator::kGreater:
      return ">";
    case Operator::kGreaterEqual:
      return ">=";
    default:
      return "";
  }
}

[[noreturn]] void unsupported_operands(Operator op, const Value& left, const Value& right) {
  type_error("unsupported operand type(s) for {}: '{}' and '{}'", symbol_of(op), left.type_name(),
             right.type_name());
}

[[noreturn]] void too_large() {
  raise("Unsupported", "integers beyond 64 bits are not computed with");
}

bool is_whole(const Value& value) { return value.is(Kind::kInteger) || value.is(Kind::kBoolean); }

Value power_of_integers(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) raise("ZeroDivisionError", "0.0 cannot be raised to a negative power");
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) too_large();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) too_large();
  }
  return Value::integer(result);
}

Value integer_operation(Operator op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case Operator::kAdd:
      if (__builtin_add_overflow(a, b, &result)) too_large();
      return Value::integer(result);
    case Operator::kSubtract:
      if (__builtin_sub_overflow(a, b, &result)) too_large();
      return Value::integer(result);
    case Operator::kMultiply:
      if (__builtin_mul_overflow(a, b, &result)) too_large();
      return Value::integer(result);
    case Operator::kDivide:
      if (b == 0) raise("ZeroDivisionError", "division by zero");
      return Value::real(static_cast<double>(a) / static_cast<double>(b));
    case Operator::kFloorDivide:
    case Operator::kModulo: {
      if (b == 0)
        raise("ZeroDivisionError", "integer {}",
              op == Operator::kModulo ? "modulo by zero" : "division or modulo by zero");
      if (b == -1) {
        if (op == Operator::kModulo) return Value::integer(0);
        if (__builtin_sub_overflow(int64_t{0}, a, &result)) too_large();
        return Value::integer(result);
      }
      // Python rounds towards minus infinity, C++ towards zero.
      const bool below = a % b != 0 && (a < 0) != (b < 0);
      return Value::integer(op == Operator::kModulo ? a % b + (below ? b : 0)
                                                    : a / b - (below ? 1 : 0));
    }
    default:
      return power_of_integers(a, b);
  }
}

Value real_operation(Operator op, double a, double b) {
  switch (op) {
    case Operator::kAdd:
      return Value::real(a + b);
    case Operator::kSubtract:
      return Value::real(a - b);
    case Operator::kMultiply:
      return Value::real(a * b);
    case Operator::kDivide:
      if (b == 0) raise("ZeroDivisionError", "float division by zero");
      return Value::real(a / b);
    case Operator::kFloorDivide:
    case Operator::kModulo: {
      if (b == 0)
        raise("ZeroDivisionError", "{}",
              op == Operator::kModulo ? "float modulo" : "float floor division by zero");
      double rest = std::fmod(a, b);
      double quotient = (a - rest) / b;
      if (rest != 0 && (rest < 0) != (b < 0)) {
        rest += b;
        quotient -= 1;
      }
      if (rest == 0) rest = std::copysign(0.0, b);
      if (op == Operator::kModulo) return Value::real(rest);
      double floored = std::floor(quotient);
      if (quotient == 0) floored = std::copysign(0.0, a / b);
      if (quotient - floored > 0.5) floored += 1;
      return Value::real(floored);
    }
    default:
      if (a == 0 && b < 0) raise("ZeroDivisionError", "0.0 cannot be raised to a negative power");
      if (a < 0 && b != std::floor(b) && std::isfinite(b))
        raise("Unsupported", "complex numbers are not supported");
      return Value::real(std::pow(a, b));
  }
}

Value number_operation(Operator op, const Value& left, const Value& right) {
  Value result;
  if (is_whole(left) && is_whole(right)) {
    result = integer_operation(op, left.as_integer(), right.as_integer());
  } else if (left.is(Kind::kFloat) || right.is(Kind::kFloat)) {
    result = real_operation(op, left.as_real(), right.as_real());
  } else {
    too_large();
  }
  result.mark_data(left.from_data() || right.from_data());
  return result;
}

Value add_texts(Interpreter& interpreter, const Value& left, const Value& right) {
  const bool markup = left.is_markup() || right.is_markup();
  const Text a = markup && !left.is_markup() ? escape_html(left.text()) : left.text();
  const Text b = markup && !right.is_markup() ? escape_html(right.text()) : right.text();
  const size_t copied = a.copied_by_plus(b);
  interpreter.charge_text(copied);
  interpreter.charge_memory(copied);
  return markup ? Value::markup(a.plus(b)) : Value::string(a.plus(b));
}

Value add(Interpreter& interpreter, const Value& left, const Value& right) {
  if (left.is_string() && right.is_string()) return add_texts(interpreter, left, right);
  if (left.is_sequence() && right.kind() == left.kind()) {
    std::vector<Value> items = left.as<Sequence>().items;
    const auto& more = right.as<Sequence>().items;
    items.insert(items.end(), more.begin(), more.end());
    Value sum = interpreter.new_list(std::move(items), left.kind());
    sum.mark_data(left.from_data() && right.from_data());
    return sum;
  }
  if (left.is_string() || left.is_sequence()) {
    const char* type = left.is_string() ? "str" : left.type_name();
    type_error("can only concatenate {} (not \"{}\") to {}", type, right.type_name(), type);
  }
  unsupported_operands(Operator::kAdd, left, right);
}

Value repeat(Interpreter& interpreter, const Value& sequence, const Value& times) {
  if (times.is(Kind::kBigInteger))
    raise("OverflowError", "cannot fit 'int' into an index-sized integer");
  const auto count = static_cast<uint64_t>(std::max<int64_t>(0, times.as_integer()));
  const uint64_t size = sequence.is_string() ? sequence.text().size()
                                             : sequence.as<Sequence>().items.size() * sizeof(Value);
  if (size > 0 && count > Limits().memory_bytes / size)
    raise("MemoryError", "a sequence repeated {} times", count);
  interpreter.charge_memory(size * count);
  interpreter.charge(size > 0 ? count : 0);
  if (sequence.is_string()) {
    TextBuilder builder;
    for (uint64_t i = 0; i < count && size > 0; ++i) builder.append(sequence.text());
    return sequence.is_markup() ? Value::markup(builder.finish()) : Value::string(builder.finish());
  }
  std::vector<Value> items;
  const auto& once = sequence.as<Sequence>().items;
  for (uint64_t i = 0; i < count && size > 0; ++i)
    items.insert(items.end(), once.begin(), once.end());
  Value repeated = interpreter.new_list(std::move(items), sequence.kind());
  repeated.mark_data(sequence.from_data());
  return repeated;
}

bool repeatable(const Value& value) { return value.is_string() || value.is_sequence(); }
bool counts(const Value& value) { return is_whole(value) || value.is(Kind::kBigInteger); }

Value multiply(Interpreter& interpreter, const Value& left, const Value& right) {
  if (repeatable(left) && counts(right)) return repeat(interpreter, left, right);
  if (counts(left) && repeatable(right)) return repeat(interpreter, right, left);
  if (repeatable(left) || repeatable(right)) {
    type_error("can't multiply sequence by non-int of type '{}'",
               repeatable(left) ? right.type_name() : left.type_name());
  }
  unsupported_operands(Operator::kMultiply, left, right);
}

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
                                    quoted(name), owner.type_name()),
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
      if (!is_whole(key)) return std::nullopt;
      const auto& items = owner.as<Sequence>().items;
      int64_t index = key.as_integer();
      if (index < 0) index += static_cast<int64_t>(items.size());
      if (index < 0 || index >= static_cast<int64_t>(items.size())) return std::nullopt;
      return items[static_cast<size_t>(index)];
    }
    case Kind::kString: {
      if (!is_whole(key)) return std::nullopt;
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

void require_iterable_right(const Value& container) {
  if (container.kind() < Kind::kList || container.kind() > Kind::kIterator) {
    type_error("argument of type '{}' is not iterable", container.type_name());
  }
}

}  // namespace

Value binary_operation(Interpreter& interpreter, Operator op, const Value& left,
                       const Value& right) {
  if (op == Operator::kModulo && left.is_string()) {
    return interpreter.new_text(format_percent(interpreter, left.text(), right));
  }
  require_defined(left);
  require_defined(right);
  if (left.is_number() && right.is_number()) return number_operation(op, left, right);
  if (op == Operator::kAdd) return add(interpreter, left, right);
  if (op == Operator::kMultiply) return multiply(interpreter, left, right);
  unsupported_operands(op, left, right);
}

Value negative(const Value& value) {
  require_defined(value);
  if (value.is(Kind::kFloat)) return Value::real(-value.as_real(), value.from_data());
  if (is_whole(value)) {
    Value result = integer_operation(Operator::kSubtract, 0, value.as_integer());
    result.mark_data(value.from_data());
    return result;
  }
  if (value.is(Kind::kBigInteger)) too_large();
  type_error("bad operand type for unary -: '{}'", value.type_name());
}

Value positive(const Value& value) {
  require_defined(value);
  if (is_whole(value)) return Value::integer(value.as_integer(), value.from_data());
  if (value.is_number()) return value;
  type_error("bad operand type for unary +: '{}'", value.type_name());
}

bool compare_operation(Interpreter& interpreter, Operator op, const Value& left,
                       const Value& right) {
  if (op == Operator::kIn) return contains(interpreter, right, left);
  if (op == Operator::kNotIn) return !contains(interpreter, right, left);
  if (op == Operator::kEqual) return interpreter.equal(left, right);
  if (op == Operator::kNotEqual) return !interpreter.equal(left, right);
  interpreter.charge(std::min(left.weight(), right.weight()));
  const int order = compare(left, right, symbol_of(op));
  switch (op) {
    case Operator::kLess:
      return order < 0;
    case Operator::kLessEqual:
      return order <= 0;
    case Operator::kGreater:
      return order > 0;
    default:
      return order >= 0;
  }
}

bool contains(Interpreter& interpreter, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString: {
      if (!item.is_string()) {
        type_error("'in <string>' requires string as left operand, not {}", item.type_name());
      }
      const std::string_view all = container.view(), part = item.view();
      interpreter.charge_text(all.size());
      // memmem is linear whatever the texts; std::string_view::find is not.
      return part.empty() ||
             (!all.empty() && memmem(all.data(), all.size(), part.data(), part.size()) != nullptr);
    }
    case Kind::kDict:
      if (!item.is_string()) interpreter.charge(container.as<Dict>().members.size());
      return container.as<Dict>().find(item) != nullptr;
    default:
      break;
  }
  require_iterable_right(container);
  auto& sequence = container.as<Sequence>();
  if (container.is(Kind::kIterator)) {
    Value candidate;
    while (sequence.next(candidate)) {
      if (interpreter.equal(candidate, item)) return true;
    }
    return false;
  }
  for (const Value& candidate : sequence.items) {
    if (interpreter.equal(candidate, item)) return true;
  }
  return false;
}

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
    if (bound->is(Kind::kBigInteger)) too_large();
    if (!bound->is_none() && !is_whole(*bound)) {
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

Text escape_html(const Text& text) {
  TextBuilder builder;
  text.for_each_run([&](std::string_view piece, bool data) {
    size_t plain = 0;
    for (size_t i = 0; i < piece.size(); ++i) {
      const char* replacement = nullptr;
      switch (piece[i]) {
        case '&':
          replacement = "&amp;";
          break;
        case '<':
          replacement = "&lt;";
          break;
        case '>':
          replacement = "&gt;";
          break;
        case '\'':
          replacement = "&#39;";
          break;
        case '"':
          replacement = "&#34;";
          break;
        default:
          continue;
      }
      builder.append(piece.substr(plain, i - plain), data);
      builder.append(replacement, data);
      plain = i + 1;
    }
    builder.append(piece.substr(plain), data);
  });
  return builder.finish();
}

}  // namespace sluice::chat::jinja
