#include "chat/jinja/conversion.h"

#include <algorithm>
#include <cmath>

#include "chat/jinja/error.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {

bool any_data(const Value& value) {
  return value.is_string() ? value.text().has_data() : value.from_data();
}

namespace {

std::string digits_in_radix(const Value& value, char type, bool alternate) {
  if (type == 'd') {
    std::string text(
        to_text(value.is(Kind::kBoolean) ? Value::integer(value.as_integer()) : value).view());
    return text.starts_with('-') ? text.substr(1) : text;
  }
  if (value.is(Kind::kBigInteger))
    raise("Unsupported", "integers beyond 64 bits are not computed with");
  const int64_t number = value.as_integer();
  const uint64_t magnitude =
      number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
  const char* prefix = !alternate    ? ""
                       : type == 'x' ? "0x"
                       : type == 'X' ? "0X"
                       : type == 'o' ? "0o"
                                     : "0b";
  switch (type) {
    case 'x':
      return fmt::format("{}{:x}", prefix, magnitude);
    case 'X':
      return fmt::format("{}{:X}", prefix, magnitude);
    case 'o':
      return fmt::format("{}{:o}", prefix, magnitude);
    default:
      return fmt::format("{}{:b}", prefix, magnitude);
  }
}

bool is_negative(const Value& value) {
  if (value.is(Kind::kBigInteger)) return value.view().front() == '-';
  return value.is(Kind::kFloat) ? std::signbit(value.as_real()) : value.as_integer() < 0;
}

std::string real_digits(double value, const Conversion& how) {
  const double magnitude = std::fabs(value);
  const bool capital = how.type == 'E' || how.type == 'F' || how.type == 'G';
  if (!std::isfinite(magnitude)) {
    const char* text =
        std::isnan(magnitude) ? (capital ? "NAN" : "nan") : (capital ? "INF" : "inf");
    return text;
  }
  const auto precision = static_cast<int>(std::clamp<int64_t>(how.precision.value_or(6), 0, 1000));
  const double scaled = how.type == '%' ? magnitude * 100 : magnitude;
  std::string format = "{:";
  if (how.alternate) format += '#';
  format += ".{}";
  format += how.type == '%' ? 'f' : how.type;
  format += "}";
  std::string text = fmt::format(fmt::runtime(format), scaled, precision);
  return how.type == '%' ? text + "%" : text;
}

void group_thousands(std::string& digits) {
  size_t end = 0;
  while (end < digits.size() && digits[end] >= '0' && digits[end] <= '9') ++end;
  for (size_t at = end; at > 3; at -= 3) digits.insert(at - 3, ",");
}

}  // namespace

Text convert(Interpreter& interpreter, const Value& value, const Conversion& how) {
  if (how.width > kMaxWidth || how.precision.value_or(0) > kMaxWidth) {
    raise("Unsupported", "a format of more than {} characters", kMaxWidth);
  }
  interpreter.charge_memory(static_cast<uint64_t>(how.width + how.precision.value_or(0)) *
                            how.fill.size());
  const bool numeric = how.type != 0;
  std::string head, body;
  Text whole;
  if (numeric) {
    const bool real = std::string_view("eEfFgG%").find(how.type) != std::string_view::npos;
    head = is_negative(value) ? "-" : how.sign ? std::string(1, how.sign) : "";
    body =
        real ? real_digits(value.as_real(), how) : digits_in_radix(value, how.type, how.alternate);
    if (!real && how.precision && body.size() < static_cast<size_t>(*how.precision)) {
      body.insert(0, static_cast<size_t>(*how.precision) - body.size(), '0');
    }
    if (how.grouped) group_thousands(body);
    whole = Text(head + body, any_data(value));
  } else {
    whole = interpreter.text_of(value);
    if (how.precision)
      whole = whole.slice(0, byte_offset(whole.view(), static_cast<size_t>(*how.precision)));
  }
  const int64_t missing = how.width - static_cast<int64_t>(count_characters(whole.view()));
  if (missing <= 0) return whole;
  const char alignment = how.alignment ? how.alignment : numeric ? '>' : '<';
  const int64_t left = alignment == '<' ? 0 : alignment == '^' ? missing / 2 : missing;
  const bool data = any_data(value);
  TextBuilder builder;
  const auto pad = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) builder.append(how.fill, data);
  };
  if (alignment == '=') {
    builder.append(head, data);
    pad(missing);
    builder.append(body, data);
    return builder.finish();
  }
  pad(left);
  builder.append(whole);
  pad(missing - left);
  return builder.finish();
}

}  // namespace sluice::chat::jinja
