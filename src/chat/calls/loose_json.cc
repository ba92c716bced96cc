#include "chat/calls/loose_json.h"

#include <utility>

#include "base/utf8.h"

namespace sluice::chat {
namespace {

constexpr int kMaxDepth = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A Python literal, by recursive descent. Members return nothing at the first thing that does not
// fit; then the whole text is no literal.
class LiteralReader {
 public:
  explicit LiteralReader(std::string_view text) : text_(text) {}

  std::optional<Json> read() {
    std::optional<Json> value = read_value(0);
    skip_space();
    return at_ == text_.size() ? value : std::nullopt;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) < 4) ++at_;
  }
  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  std::optional<Json> read_value(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    skip_space();
    switch (peek()) {
      case '{':
        return read_object(depth);
      case '[':
        return read_items(']', depth);
      case '(':
        return read_items(')', depth);
      case '"':
      case '\'':
        return read_string();
      default:
        break;
    }
    if (take("True") || take("true")) return Json(true);
    if (take("False") || take("false")) return Json(false);
    if (take("None") || take("null")) return Json();
    return read_number();
  }

  std::optional<Json> read_items(char close, int depth) {
    ++at_;
    Json array = Json::array();
    for (;;) {
      skip_space();
      if (peek() == close) break;
      std::optional<Json> item = read_value(depth + 1);
      if (!item) return std::nullopt;
      array.push_back(*std::move(item));
      skip_space();
      if (peek() != ',') break;
      ++at_;
    }
    if (peek() != close) return std::nullopt;
    ++at_;
    return array;
  }

  std::optional<Json> read_object(int depth) {
    ++at_;
    Json object = Json::object();
    for (;;) {
      skip_space();
      if (peek() == '}') break;
      if (peek() != '"' && peek() != '\'') return std::nullopt;
      const std::optional<Json> key = read_string();
      skip_space();
      if (!key || peek() != ':') return std::nullopt;
      ++at_;
      std::optional<Json> value = read_value(depth + 1);
      if (!value) return std::nullopt;
      object.set(key->string(), *std::move(value));
      skip_space();
      if (peek() != ',') break;
      ++at_;
    }
    if (peek() != '}') return std::nullopt;
    ++at_;
    return object;
  }

  std::optional<Json> read_string() {
    const char quote = text_[at_++];
    std::string value;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == quote) {
        // Escapes can spell what is no text: lone surrogates, bytes.
        if (find_invalid_utf8(value)) return std::nullopt;
        return Json(std::move(value));
      }
      if (c != '\\') {
        value += c;
      } else if (!read_escape(value)) {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  bool read_escape(std::string& value) {
    if (at_ == text_.size()) return false;
    const char c = text_[at_++];
    static constexpr std::string_view kNames = "nrtbfav0\\/'\"", kValues = "\n\r\t\b\f\a\v\0\\/'\"";
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      value += std::string_view(kValues.data(), kNames.size())[known];
      return true;
    }
    if (c == '\n') return true;  // a line joined to the next
    if (c == 'x') return read_code_point(2, value);
    if (c == 'u') return read_code_point(4, value);
    if (c == 'U') return read_code_point(8, value);
    value += '\\';  // Python keeps an escape that it does not know
    value += c;
    return true;
  }

  std::optional<char32_t> read_hex(size_t digits) {
    char32_t code = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const char c = peek();
      const int digit = is_digit(c)              ? c - '0'
                        : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                        : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                                 : -1;
      if (digit < 0) return std::nullopt;
      code = code * 16 + static_cast<char32_t>(digit);
    }
    return code;
  }

  bool read_code_point(size_t digits, std::string& value) {
    std::optional<char32_t> code = read_hex(digits);
    if (!code) return false;
    if (*code >= 0xD800 && *code < 0xDC00 && take("\\u")) {
      const std::optional<char32_t> low = read_hex(4);
      if (!low || *low < 0xDC00 || *low > 0xDFFF) return false;
      code = 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
    }
    if (*code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF)) return false;
    append_utf8(*code, value);
    return true;
  }

  // JSON's numbers; what else Python can write (1_000, 0x1F, nan) is not worth a guess.
  std::optional<Json> read_number() {
    const size_t begin = at_;
    if (peek() == '-') ++at_;
    while (is_digit(peek()) || std::string_view(".eE+-").find(peek()) < 5) ++at_;
    const auto number = parse_json(text_.substr(begin, at_ - begin));
    if (!number.ok()) return std::nullopt;
    return *number;
  }

  const std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::optional<Json> parse_loose_json(std::string_view text) {
  if (auto json = parse_json(text); json.ok()) return std::move(json).value();
  return LiteralReader(text).read();
}

void append_spaced_json(const Json& value, std::string& out) {
  const char* separator = "";
  if (value.is_array()) {
    out += '[';
    for (const Json& item : value.items()) {
      out += std::exchange(separator, ", ");
      append_spaced_json(item, out);
    }
    out += ']';
  } else if (value.is_object()) {
    out += '{';
    for (const auto& [key, member] : value.members()) {
      out += std::exchange(separator, ", ");
      append_json_string(key, out);
      out += ": ";
      append_spaced_json(member, out);
    }
    out += '}';
  } else {
    out += value.dump();
  }
}

}  // namespace sluice::chat
