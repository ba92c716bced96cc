#include "chat/jinja/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "chat/jinja/error.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

constexpr int64_t kMaxWidth = 100'000;

bool any_data(const Value& value) {
  return value.is_string() ? value.text().has_data() : value.from_data();
}

// One conversion: "%-8.3f" or "{:>8.3f}", both brought to this form.
struct Conversion {
  char type = 0;       // 0: str() of the value
  char alignment = 0;  // '<' '>' '^' '=' or 0: the type's own
  std::string fill = " ";
  char sign = 0;  // '+' ' ' or 0
  bool alternate = false, grouped = false;
  int64_t width = 0;
  std::optional<int64_t> precision;
};

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

// The value's characters by the conversion, padded; all of one origin, except a text without
// padding.
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

// --- "%" ---

class PercentFormatter {
 public:
  PercentFormatter(Interpreter& interpreter, const Text& format, const Value& arguments)
      : interpreter_(interpreter), format_(format), all_(format.view()), arguments_(arguments) {}

  Text run() {
    while (at_ < all_.size()) {
      const size_t percent = std::min(all_.find('%', at_), all_.size());
      builder_.append(format_.slice(at_, percent));
      at_ = percent;
      if (at_ < all_.size()) conversion();
    }
    const bool mapping =
        arguments_.is(Kind::kDict) || arguments_.is(Kind::kList) || arguments_.is_undefined();
    const size_t given = arguments_.is(Kind::kTuple) ? arguments_.as<Sequence>().items.size() : 1;
    if (!mapping && !by_name_ && next_ < given)
      type_error("not all arguments converted during string formatting");
    return builder_.finish();
  }

 private:
  char peek() const { return at_ < all_.size() ? all_[at_] : '\0'; }

  void put(const Text& text) {
    interpreter_.charge_memory(text.size());
    builder_.append(text);
  }

  Value next_argument() {
    if (!arguments_.is(Kind::kTuple)) {
      if (next_++ > 0) type_error("not enough arguments for format string");
      return arguments_;
    }
    const auto& items = arguments_.as<Sequence>().items;
    if (next_ >= items.size()) type_error("not enough arguments for format string");
    return items[next_++];
  }

  Value named_argument() {
    if (!arguments_.is(Kind::kDict)) type_error("format requires a mapping");
    const size_t end = all_.find(')', at_);
    if (end == std::string_view::npos) value_error("incomplete format key");
    const std::string_view name = all_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    by_name_ = true;
    const Value* value = arguments_.as<Dict>().find(name);
    if (!value) raise("KeyError", "{}", quoted(name));
    return *value;
  }

  int64_t number_or_star() {
    if (peek() == '*') {
      ++at_;
      const Value value = next_argument();
      if (!value.is(Kind::kInteger)) type_error("* wants int");
      return value.as_integer();
    }
    int64_t number = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_)
      number = std::min<int64_t>(kMaxWidth + 1, number * 10 + (peek() - '0'));
    return number;
  }

  void conversion() {
    interpreter_.charge(1);
    ++at_;
    std::optional<Value> named;
    if (peek() == '(') named = named_argument();
    Conversion how;
    bool left = false, zero = false;
    for (;; ++at_) {
      const char flag = peek();
      if (flag == '-') {
        left = true;
      } else if (flag == '+' || (flag == ' ' && how.sign == 0)) {
        how.sign = flag;
      } else if (flag == '0') {
        zero = true;
      } else if (flag == '#') {
        how.alternate = true;
      } else if (flag != ' ') {
        break;
      }
    }
    how.width = number_or_star();
    if (how.width < 0) {
      left = true;
      how.width = -how.width;
    }
    if (peek() == '.') {
      ++at_;
      how.precision = std::max<int64_t>(0, number_or_star());
    }
    while (peek() == 'h' || peek() == 'l' || peek() == 'L') ++at_;
    if (at_ >= all_.size()) value_error("incomplete format");
    const char type = all_[at_++];
    if (type == '%') {
      builder_.append("%", false);
      return;
    }
    const Value value = named ? *named : next_argument();
    how.alignment = left ? '<' : 0;
    if (type == 's' || type == 'r' || type == 'a') {
      if (!left) how.alignment = '>';
      const Text text = type == 's' ? interpreter_.text_of(value) : repr(value);
      put(convert(interpreter_, Value::string(text), how));
    } else if (type == 'c') {
      builder_.append(character(value));
    } else {
      if (zero && !left) {
        how.fill = "0";
        how.alignment = '=';
      }
      put(convert(interpreter_, number(value, type), how_for(how, type)));
    }
  }

  Text repr(const Value& value) {
    interpreter_.charge(value.weight());
    return to_text(value, PrintStyle::kRepr);
  }

  Text character(const Value& value) {
    if (value.is_string() && count_characters(value.view()) == 1) return value.text();
    if (!value.is(Kind::kInteger)) type_error("%c requires int or char");
    if (value.as_integer() < 0 || value.as_integer() > 0x10FFFF)
      raise("OverflowError", "%c arg not in range(0x110000)");
    std::string text;
    append_utf8(static_cast<char32_t>(value.as_integer()), text);
    if (find_invalid_utf8(text)) raise("Unsupported", "a lone surrogate is not a character");
    return Text(text, value.from_data());
  }

  static Conversion how_for(Conversion how, char type) {
    how.type = type == 'i' || type == 'u' ? 'd' : type;
    return how;
  }

  Value number(const Value& value, char type) {
    const std::string_view types = "diuxXoeEfFgG";
    if (types.find(type) == std::string_view::npos) {
      value_error("unsupported format character '{}' ({:#x}) at index {}", type,
                  static_cast<int>(type), count_characters(all_.substr(0, at_ - 1)));
    }
    const bool decimal = type == 'd' || type == 'i' || type == 'u';
    require_defined(value);
    if (!value.is_number()) {
      if (decimal)
        type_error("%{} format: a real number is required, not {}", type, value.type_name());
      if (types.find(type) < 6)
        type_error("%{} format: an integer is required, not {}", type, value.type_name());
      type_error("must be real number, not {}", value.type_name());
    }
    if (types.find(type) >= 6) return Value::real(value.as_real(), value.from_data());
    if (!value.is(Kind::kFloat)) return value;
    if (!decimal) type_error("%{} format: an integer is required, not float", type);
    if (!std::isfinite(value.as_real())) value_error("cannot convert float to integer");
    return Value::integer_from_digits(fmt::format("{:.0f}", std::trunc(value.as_real())),
                                      value.from_data());
  }

  Interpreter& interpreter_;
  const Text& format_;
  const std::string_view all_;
  const Value& arguments_;
  TextBuilder builder_;
  size_t at_ = 0, next_ = 0;
  bool by_name_ = false;
};

// --- "{}" ---

class BraceFormatter {
 public:
  BraceFormatter(Interpreter& interpreter, const Text& format, Arguments& arguments)
      : interpreter_(interpreter), format_(format), all_(format.view()), arguments_(arguments) {}

  Text run() {
    while (at_ < all_.size()) {
      const size_t brace = std::min(all_.find_first_of("{}", at_), all_.size());
      builder_.append(format_.slice(at_, brace));
      at_ = brace;
      if (at_ >= all_.size()) break;
      const char c = all_[at_];
      if (at_ + 1 < all_.size() && all_[at_ + 1] == c) {
        builder_.append(format_.slice(at_, at_ + 1));
        at_ += 2;
      } else if (c == '}') {
        value_error("Single '}}' encountered in format string");
      } else {
        field();
      }
    }
    return builder_.finish();
  }

 private:
  void field() {
    interpreter_.charge(1);
    const size_t end = all_.find('}', at_);
    if (end == std::string_view::npos) value_error("expected '}}' before end of string");
    std::string_view inner = all_.substr(at_ + 1, end - at_ - 1);
    if (inner.find('{') != std::string_view::npos) raise("Unsupported", "a format inside a format");
    at_ = end + 1;
    std::string_view spec;
    if (const size_t colon = inner.find(':'); colon != std::string_view::npos) {
      spec = inner.substr(colon + 1);
      inner = inner.substr(0, colon);
    }
    char conversion = 0;
    if (const size_t mark = inner.find('!'); mark != std::string_view::npos) {
      if (inner.size() != mark + 2) value_error("expected ':' after conversion specifier");
      conversion = inner[mark + 1];
      inner = inner.substr(0, mark);
    }
    Value value = argument(inner);
    if (conversion == 's') {
      value = Value::string(interpreter_.text_of(value));
    } else if (conversion == 'r') {
      interpreter_.charge(value.weight());
      value = Value::string(to_text(value, PrintStyle::kRepr));
    } else if (conversion != 0) {
      value_error("Unknown conversion specifier {}", conversion);
    }
    put(formatted(value, spec));
  }

  void put(const Text& text) {
    interpreter_.charge_memory(text.size());
    builder_.append(text);
  }

  // name, number or nothing, then .attribute and [element].
  Value argument(std::string_view field) {
    const size_t head_end = std::min(field.find_first_of(".["), field.size());
    const std::string_view head = field.substr(0, head_end);
    Value value = first_argument(head);
    for (std::string_view rest = field.substr(head_end); !rest.empty();) {
      if (rest[0] == '.') {
        const size_t end = std::min(rest.find_first_of(".[", 1), rest.size());
        value = get_attribute(interpreter_, value, Value::string(rest.substr(1, end - 1)));
        rest.remove_prefix(end);
      } else {
        const size_t close = rest.find(']');
        if (close == std::string_view::npos) value_error("Missing ']' in format string");
        const std::string_view key = rest.substr(1, close - 1);
        value =
            get_item(interpreter_, value,
                     is_number(key) ? Value::integer_from_digits(key, false) : Value::string(key));
        rest.remove_prefix(close + 1);
        if (!rest.empty() && rest[0] != '.' && rest[0] != '[') {
          value_error("Only '.' or '[' may follow ']' in format field specifier");
        }
      }
    }
    return value;
  }

  static bool is_number(std::string_view text) {
    return !text.empty() && text.size() < 10 &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
  }

  Value first_argument(std::string_view head) {
    size_t index = 0;
    if (head.empty()) {
      if (numbered_)
        value_error("cannot switch from manual field specification to automatic field numbering");
      automatic_ = true;
      index = next_++;
    } else if (is_number(head)) {
      if (automatic_)
        value_error("cannot switch from automatic field numbering to manual field specification");
      numbered_ = true;
      std::from_chars(head.data(), head.data() + head.size(), index);
    } else {
      for (const auto& [name, value] : arguments_.keyword) {
        if (name == head) return value;
      }
      raise("KeyError", "{}", quoted(head));
    }
    if (index >= arguments_.positional.size()) {
      raise("IndexError", "Replacement index {} out of range for positional args tuple", index);
    }
    return arguments_.positional[index];
  }

  Text formatted(const Value& value, std::string_view spec) {
    if (spec.empty()) return interpreter_.text_of(value);
    const bool number = value.is_number() && !value.is(Kind::kBoolean);
    if (!value.is_string() && !value.is_number()) {
      type_error("unsupported format string passed to {}.__format__", value.type_name());
    }
    Conversion how = parse(spec);
    const char type = how.type;
    const Value subject = value.is(Kind::kBoolean) && type != 0 && type != 's'
                              ? Value::integer(value.as_integer(), value.from_data())
                              : value;
    if (type == 's' || (type == 0 && !number)) {
      if (number) value_error("Unknown format code 's' for object of type '{}'", value.type_name());
      how.type = 0;
      return convert(interpreter_, subject, how);
    }
    if (value.is_string()) value_error("Unknown format code '{}' for object of type 'str'", type);
    if (type == 0) how.type = subject.is(Kind::kFloat) ? 'g' : 'd';
    const bool real = std::string_view("eEfFgG%").find(how.type) != std::string_view::npos;
    if (!real && subject.is(Kind::kFloat))
      value_error("Unknown format code '{}' for object of type 'float'", type);
    if (type == 0 && real && !how.precision) {
      // Without a type a float prints as str() does.
      Conversion plain = how;
      plain.type = 0;
      if (!plain.alignment) plain.alignment = '>';
      return convert(interpreter_,
                     Value::string(Text(float_text(subject.as_real()), any_data(subject))), plain);
    }
    return convert(interpreter_, subject, how);
  }

  // [[fill]align][sign][#][0][width][,][.precision][type]
  static Conversion parse(std::string_view spec) {
    Conversion how;
    size_t at = 0;
    const auto is_alignment = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
    const size_t first = character_at(spec, 0).size;
    if (spec.size() > first && is_alignment(spec[first])) {
      how.fill = spec.substr(0, first);
      how.alignment = spec[first];
      at = first + 1;
    } else if (is_alignment(spec[0])) {
      how.alignment = spec[at++];
    }
    const auto peek = [&] { return at < spec.size() ? spec[at] : '\0'; };
    const auto number = [&] {
      int64_t value = 0;
      for (; peek() >= '0' && peek() <= '9'; ++at)
        value = std::min<int64_t>(kMaxWidth + 1, value * 10 + (peek() - '0'));
      return value;
    };
    if (peek() == '+' || peek() == ' ' || peek() == '-') {
      how.sign = peek() == '-' ? '\0' : peek();
      ++at;
    }
    if (peek() == '#') how.alternate = true, ++at;
    if (peek() == '0') {
      ++at;
      if (!how.alignment) how.alignment = '=', how.fill = "0";
    }
    how.width = number();
    if (peek() == ',') how.grouped = true, ++at;
    if (peek() == '.') {
      ++at;
      how.precision = number();
    }
    if (at < spec.size()) how.type = spec[at++];
    if (at != spec.size() ||
        (how.type && std::string_view("sdxXobeEfFgG%").find(how.type) == std::string_view::npos)) {
      value_error("Invalid format specifier '{}'", spec);
    }
    return how;
  }

  Interpreter& interpreter_;
  const Text& format_;
  const std::string_view all_;
  Arguments& arguments_;
  TextBuilder builder_;
  size_t at_ = 0, next_ = 0;
  bool automatic_ = false, numbered_ = false;
};

}  // namespace

Text format_percent(Interpreter& interpreter, const Text& format, const Value& arguments) {
  return PercentFormatter(interpreter, format, arguments).run();
}

Text format_braces(Interpreter& interpreter, const Text& format, Arguments& arguments) {
  return BraceFormatter(interpreter, format, arguments).run();
}

}  // namespace sluice::chat::jinja
