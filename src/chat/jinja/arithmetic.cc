// Arithmetic: + - * / // % ** and the signs.
#include <cmath>
#include <cstring>

#include "chat/jinja/error.h"
#include "chat/jinja/format.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
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
  if (left.is_whole() && right.is_whole()) {
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
bool counts(const Value& value) { return value.is_whole() || value.is(Kind::kBigInteger); }

Value multiply(Interpreter& interpreter, const Value& left, const Value& right) {
  if (repeatable(left) && counts(right)) return repeat(interpreter, left, right);
  if (counts(left) && repeatable(right)) return repeat(interpreter, right, left);
  if (repeatable(left) || repeatable(right)) {
    type_error("can't multiply sequence by non-int of type '{}'",
               repeatable(left) ? right.type_name() : left.type_name());
  }
  unsupported_operands(Operator::kMultiply, left, right);
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
  if (value.is_whole()) {
    Value result = integer_operation(Operator::kSubtract, 0, value.as_integer());
    result.mark_data(value.from_data());
    return result;
  }
  if (value.is(Kind::kBigInteger)) too_large();
  type_error("bad operand type for unary -: '{}'", value.type_name());
}

Value positive(const Value& value) {
  require_defined(value);
  if (value.is_whole()) return Value::integer(value.as_integer(), value.from_data());
  if (value.is_number()) return value;
  type_error("bad operand type for unary +: '{}'", value.type_name());
}

}  // namespace sluice::chat::jinja
