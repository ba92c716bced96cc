// Filters on numbers.
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

// The text of a number without blanks around it and underscores between its digits; empty if an
// underscore is elsewhere.
std::string plain_number(std::string_view text) {
  text = strip_left(strip_right(text));
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto is_alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
    if (text[i] != '_') {
      plain += text[i];
    } else if (i == 0 || i + 1 == text.size() || !is_alnum(text[i - 1]) || !is_alnum(text[i + 1])) {
      return {};
    }
  }
  return plain;
}

std::optional<double> parse_float(std::string_view text) {
  const std::string plain = plain_number(text);
  if (plain.empty()) return std::nullopt;
  for (const char c : plain) {
    // strtod also reads hexadecimal and "nan(...)".
    if (c == 'x' || c == 'X' || c == '(') return std::nullopt;
  }
  char* end = nullptr;
  const double value = std::strtod(plain.c_str(), &end);
  if (end != plain.c_str() + plain.size()) return std::nullopt;
  return value;
}

std::optional<Value> parse_integer(std::string_view text, int64_t base, bool data) {
  std::string plain = plain_number(text);
  const bool negative = plain.starts_with('-');
  if (negative || plain.starts_with('+')) plain.erase(0, 1);
  if (plain.size() > 2 && plain[0] == '0') {
    const char letter = static_cast<char>(plain[1] | 0x20);
    const int64_t prefix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : -1;
    if (prefix > 0 && (base == prefix || base == 0)) {
      plain.erase(0, 2);
      base = prefix;
    }
  }
  if (base == 0) base = 10;
  if (plain.empty()) return std::nullopt;
  for (const char c : plain) {
    const int digit = c >= '0' && c <= '9'                     ? c - '0'
                      : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10
                                                               : 99;
    if (digit >= base) return std::nullopt;
  }
  if (base == 10) return Value::integer_from_digits((negative ? "-" : "") + plain, data);
  int64_t value = 0;
  const auto [end, error] =
      std::from_chars(plain.data(), plain.data() + plain.size(), value, static_cast<int>(base));
  if (error != std::errc()) raise("Unsupported", "integers beyond 64 bits are not computed with");
  return Value::integer(negative ? -value : value, data);
}

Value whole_part(double value, bool data) {
  return Value::integer_from_digits(fmt::format("{:.0f}", std::trunc(value)), data);
}

Value to_integer(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_int", arguments, {"default", "base"});
  const Value otherwise = bound.or_else(0, Value::integer(0));
  require_defined(subject);
  if (subject.is_string()) {
    interpreter.charge_text(subject.text().size());
    const bool data = subject.text().has_data();
    const int64_t base = bound.integer(1, 10);
    if (base == 0 || (base >= 2 && base <= 36)) {
      if (const auto value = parse_integer(subject.view(), base, data)) return *value;
    }
    const auto real = parse_float(subject.view());
    return real && std::isfinite(*real) ? whole_part(*real, data) : otherwise;
  }
  if (subject.is(Kind::kFloat)) {
    const double value = subject.as_real();
    if (std::isnan(value)) return otherwise;
    if (std::isinf(value)) raise("OverflowError", "cannot convert float infinity to integer");
    return whole_part(value, subject.from_data());
  }
  if (subject.is(Kind::kBoolean)) return Value::integer(subject.as_integer(), subject.from_data());
  return subject.is_number() ? subject : otherwise;
}

Value to_float(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_float", arguments, {"default"});
  require_defined(subject);
  if (subject.is_number()) return Value::real(subject.as_real(), subject.from_data());
  if (subject.is_string()) {
    interpreter.charge_text(subject.text().size());
    if (const auto value = parse_float(subject.view()))
      return Value::real(*value, subject.text().has_data());
  }
  return bound.or_else(0, Value::real(0));
}

Value absolute(Interpreter&, const Value& subject, Arguments& arguments) {
  BoundArguments("abs", arguments, {});
  if (!subject.is_number()) type_error("bad operand type for abs(): '{}'", subject.type_name());
  if (subject.is(Kind::kFloat))
    return Value::real(std::fabs(subject.as_real()), subject.from_data());
  if (subject.is(Kind::kBigInteger)) {
    const std::string_view digits = subject.view();
    return Value::integer_from_digits(digits.substr(digits.front() == '-' ? 1 : 0),
                                      subject.from_data());
  }
  return subject.as_integer() < 0 ? negative(subject) : positive(subject);
}

// Python's round() to a number of decimals: correctly rounded from the exact value, ties by the
// exact value.
double rounded(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 300) return value;
  if (precision < -308) return std::copysign(0.0, value);
  if (precision >= 0) return std::strtod(fmt::format("{:.{}f}", value, precision).c_str(), nullptr);
  const double scale = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / scale) * scale;
}

Value round(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_round", arguments, {"precision", "method"});
  const int64_t precision = bound.integer(0, 0);
  const std::string method(bound.has(1) ? interpreter.text_of(bound.at(1)).view() : "common");
  if (method != "common" && method != "ceil" && method != "floor") {
    raise("FilterArgumentError", "method must be common, ceil or floor");
  }
  if (method == "common" && !subject.is_number()) {
    type_error("type {} doesn't define __round__ method", subject.type_name());
  }
  require_defined(subject);
  if (!subject.is_number())
    type_error("unsupported operand type(s) for *: '{}' and 'int'", subject.type_name());
  if (subject.is(Kind::kBigInteger))
    raise("Unsupported", "integers beyond 64 bits are not computed with");
  if (method == "common") {
    if (subject.is(Kind::kFloat))
      return Value::real(rounded(subject.as_real(), precision), subject.from_data());
    if (precision >= 0) return positive(subject);
    return Value::integer(static_cast<int64_t>(rounded(subject.as_real(), precision)),
                          subject.from_data());
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = subject.as_real() * scale;
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale,
                     subject.from_data());
}

constexpr Filter kNumberFilters[] = {
    {"abs", absolute},
    {"float", to_float},
    {"int", to_integer},
    {"round", round},
};

}  // namespace

std::span<const Filter> number_filters() { return kNumberFilters; }

}  // namespace sluice::chat::jinja
