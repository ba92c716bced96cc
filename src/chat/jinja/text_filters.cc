// Filters on texts and numbers.
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/format.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

void no_arguments(const char* filter, Arguments& arguments) {
  BoundArguments(filter, arguments, {});
}

// soft_str: a text stays what it is, Markup too.
Value soft_text(Interpreter& interpreter, const Value& value) {
  return value.is_string() ? value : Value::string(interpreter.text_of(value));
}
Value like(const Value& original, Text text) {
  return original.is_markup() ? Value::markup(std::move(text)) : Value::string(std::move(text));
}

Value trim(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_trim", arguments, {"chars"});
  const Value text = soft_text(interpreter, subject);
  interpreter.charge_text(text.text().size());
  if (bound.given(0) && !bound.at(0).is_string()) type_error("strip arg must be None or str");
  return strip_text(text, bound.given(0) ? &bound.at(0) : nullptr, StripSide::kBoth);
}

Value string(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("soft_str", arguments);
  return soft_text(interpreter, subject);
}

Value safe(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_mark_safe", arguments);
  return Value::markup(interpreter.text_of(subject));
}

Value escape(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("escape", arguments);
  if (subject.is_markup()) return subject;
  const Text text = escape_html(interpreter.text_of(subject));
  interpreter.charge_memory(text.size());
  return Value::markup(text);
}

Value force_escape(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_forceescape", arguments);
  const Text text = escape_html(interpreter.text_of(subject));
  interpreter.charge_memory(text.size());
  return Value::markup(text);
}

Value in_case(Interpreter& interpreter, const Value& subject, Case to) {
  const Value text = soft_text(interpreter, subject);
  interpreter.charge(text.text().size() / 16);
  interpreter.charge_memory(text.text().size());
  return like(text, change_case(text.text(), to));
}
Value upper(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_upper", arguments);
  return in_case(interpreter, subject, Case::kUpper);
}
Value lower(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_lower", arguments);
  return in_case(interpreter, subject, Case::kLower);
}
Value capitalized(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_capitalize", arguments);
  const Value text = soft_text(interpreter, subject);
  interpreter.charge(text.text().size() / 16);
  return like(text, capitalize(text.text()));
}

// Unlike str.title, a word begins only after white space and - ( { [ <.
Value title(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_title", arguments);
  const Text text = interpreter.text_of(subject);
  const std::string_view all = text.view();
  const auto separates = [](char32_t c) {
    return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  interpreter.charge(all.size() / 16);
  TextBuilder builder;
  for (size_t at = 0; at < all.size();) {
    size_t end = at;
    const bool separator = separates(character_at(all, at).code_point);
    while (end < all.size() && separates(character_at(all, end).code_point) == separator) {
      end += character_at(all, end).size;
    }
    const size_t head = at + character_at(all, at).size;
    builder.append(change_case(text.slice(at, head), Case::kUpper));
    builder.append(change_case(text.slice(head, end), Case::kLower));
    at = end;
  }
  return Value::string(builder.finish());
}

Value replace(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_replace", arguments, {"old", "new", "count"}, 2);
  const Text old = interpreter.text_of(bound.at(0));
  const int64_t count = bound.given(2) ? bound.integer(2, -1) : -1;
  return interpreter.new_text(replace_text(interpreter, interpreter.text_of(subject), old.view(),
                                           interpreter.text_of(bound.at(1)), count));
}

Value format(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keyword.empty()) {
    raise("FilterArgumentError", "can't handle positional and keyword arguments at the same time");
  }
  Value values;
  if (arguments.keyword.empty()) {
    values = Value::tuple(arguments.positional);
  } else {
    auto dict = std::make_shared<Dict>();
    for (auto& [name, value] : arguments.keyword) dict->set(Value::string(name), std::move(value));
    values = Value::object(Kind::kDict, std::move(dict));
  }
  return interpreter.new_text(format_percent(interpreter, interpreter.text_of(subject), values));
}

Value indent(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_indent", arguments, {"width", "first", "blank"});
  require_defined(subject);
  if (subject.is(Kind::kList)) {
    raise("AttributeError", "'list' object has no attribute 'splitlines'");
  }
  if (!subject.is_string())
    type_error("unsupported operand type(s) for +=: '{}' and 'str'", subject.type_name());
  Text indention;
  if (bound.has(0) && bound.at(0).is_string()) {
    indention = bound.at(0).text();
  } else {
    const auto width = static_cast<uint64_t>(std::max<int64_t>(0, bound.integer(0, 4)));
    interpreter.charge_memory(width);
    indention = Text(std::string(width, ' '), false);
  }
  const Text newline("\n", false);
  // A line break is added first, so that "" has one line and a break at the end of the text stays.
  const Text text = subject.text().plus(newline);
  const std::vector<std::string_view> lines = split_lines(text.view(), false);
  interpreter.charge(lines.size() + text.size() / 64);
  TextBuilder builder;
  if (bound.truth(1, false)) builder.append(indention);
  for (size_t i = 0; i < lines.size(); ++i) {
    interpreter.charge_memory(lines[i].size() + indention.size());
    if (i > 0) {
      builder.append(newline);
      if (!lines[i].empty() || bound.truth(2, false)) builder.append(indention);
    }
    builder.append(text.slice(lines[i]));
  }
  return like(subject, builder.finish());
}

Value center(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_center", arguments, {"width"});
  Arguments width;
  width.positional.push_back(bound.or_else(0, Value::integer(80)));
  return call_text_method(interpreter, soft_text(interpreter, subject), "center", width);
}

Value word_count(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_wordcount", arguments);
  const Text text = interpreter.text_of(subject);
  const std::string_view all = text.view();
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < all.size();) {
    const Character c = character_at(all, at);
    const bool word = is_word(c.code_point);
    words += word && !inside;
    inside = word;
    at += c.size;
  }
  interpreter.charge_text(all.size() * 4);
  return Value::integer(words);
}

Value truncate(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t length = bound.integer(0, 255), leeway = bound.given(3) ? bound.integer(3, 5) : 5;
  const Value end = bound.or_else(2, Value::string("..."));
  if (!end.is_string()) type_error("object of type '{}' has no len()", end.type_name());
  const auto end_length = static_cast<int64_t>(count_characters(end.view()));
  if (length < end_length)
    raise("AssertionError", "expected length >= {}, got {}", end_length, length);
  if (leeway < 0) raise("AssertionError", "expected leeway >= 0, got {}", leeway);
  const int64_t size = length_of(subject);
  if (size <= length + leeway) return subject;
  if (!subject.is_string()) type_error("'{}' object cannot be truncated", subject.type_name());
  const Text& text = subject.text();
  interpreter.charge_text(text.size());
  Text head = text.slice(0, byte_offset(text.view(), static_cast<size_t>(length - end_length)));
  if (!bound.truth(1, false)) {
    const size_t blank = head.view().rfind(' ');
    if (blank != std::string_view::npos) head = head.slice(0, blank);
  }
  return like(subject, head.plus(end.text()));
}

// --- numbers ---

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
  no_arguments("abs", arguments);
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

// --- JSON ---

Value to_json(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("tojson", arguments,
                             {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound.truth(0, false);
  style.sort_keys = bound.truth(3, false);
  if (bound.given(1)) {
    const Value& level = bound.at(1);
    const int64_t width = level.is_string() ? 0 : std::max<int64_t>(0, bound.integer(1, 0));
    if (width > 1000) raise("Unsupported", "an indent of {} characters", width);
    style.indent = level.is_string() ? std::string(level.view())
                                     : std::string(static_cast<size_t>(width), ' ');
    style.item_separator = ",";
  }
  if (bound.given(2)) {
    const std::vector<Value> separators = interpreter.items_of(bound.at(2));
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      value_error("separators must be two texts");
    }
    style.item_separator = separators[0].view();
    style.key_separator = separators[1].view();
  }
  interpreter.charge(subject.weight());
  // Each member of the tree may be indented and separated anew.
  const uint64_t overhead =
      (style.indent ? style.indent->size() * static_cast<uint64_t>(subject.depth() + 1) + 1 : 0) +
      style.item_separator.size() + style.key_separator.size();
  interpreter.charge_memory(std::min(kMaxWeight, subject.weight()) * overhead);
  Text text = to_json_text(subject, style);
  interpreter.charge_text(text.size());
  interpreter.charge_memory(text.size());
  return Value::string(std::move(text));
}

constexpr Filter kFilters[] = {
    {"abs", absolute},
    {"capitalize", capitalized},
    {"center", center},
    {"e", escape},
    {"escape", escape},
    {"float", to_float},
    {"forceescape", force_escape},
    {"format", format},
    {"indent", indent},
    {"int", to_integer},
    {"lower", lower},
    {"replace", replace},
    {"round", round},
    {"safe", safe},
    {"string", string},
    {"title", title},
    {"tojson", to_json},
    {"trim", trim},
    {"truncate", truncate},
    {"upper", upper},
    {"wordcount", word_count},
};

}  // namespace

std::span<const Filter> text_filters() { return kFilters; }

}  // namespace sluice::chat::jinja
