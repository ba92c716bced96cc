// "%s" % x
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
    if (!value) raise("KeyError", "{}", python_quoted(name));
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

}  // namespace

Text format_percent(Interpreter& interpreter, const Text& format, const Value& arguments) {
  return PercentFormatter(interpreter, format, arguments).run();
}

}  // namespace sluice::chat::jinja
