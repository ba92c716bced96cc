// "{}".format(x)
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/utf8.h"
#include "chat/jinja/conversion.h"
#include "chat/jinja/error.h"
#include "chat/jinja/format.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

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
      raise("KeyError", "{}", python_quoted(head));
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

Text format_braces(Interpreter& interpreter, const Text& format, Arguments& arguments) {
  return BraceFormatter(interpreter, format, arguments).run();
}

}  // namespace sluice::chat::jinja
