#include "chat/jinja/lexer.h"

#include <algorithm>
#include <charconv>

#include "base/utf8.h"
#include "chat/jinja/error.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

// \r\n and \r become \n; one line break at the very end is dropped (keep_trailing_newline is off).
std::string with_plain_newlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
    } else {
      text += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_newlines(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) root();
    add(TokenKind::kEnd, {}, source_.size());
    return std::move(tokens_);
  }

 private:
  enum class Tag { kRaw, kComment, kBlock, kVariable };

  [[noreturn]] void fail(size_t at, std::string message) const {
    const auto [line, column] = place(at);
    throw JinjaError("TemplateSyntaxError", std::move(message), line, column);
  }

  // Line and column of a byte. Goes on from the last place asked for, as tokens come in order.
  std::pair<int, int> place(size_t at) const {
    if (at < place_at_) place_at_ = 0, place_line_ = place_column_ = 1;
    for (; place_at_ < at; ++place_at_) {
      const char c = source_[place_at_];
      if (c == '\n') {
        ++place_line_;
        place_column_ = 1;
      } else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) {
        ++place_column_;
      }
    }
    return {place_line_, place_column_};
  }

  void add(TokenKind kind, std::string text, size_t at) {
    const auto [line, column] = place(at);
    tokens_.push_back({kind, std::move(text), line, column});
  }

  bool looking_at(std::string_view text) const {
    return source_.compare(at_, text.size(), text) == 0;
  }

  // Moves past white space; as in Python's \s, which is not only ASCII.
  void skip_space() {
    while (at_ < source_.size()) {
      const Character c = character_at(source_, at_);
      if (!is_space(c.code_point)) return;
      at_ += c.size;
    }
  }

  // Where the next tag begins, or the end.
  size_t find_tag() const {
    size_t tag = at_;
    while ((tag = source_.find('{', tag)) != std::string::npos) {
      if (tag + 1 < source_.size() &&
          std::string_view("%{#").find(source_[tag + 1]) != std::string_view::npos) {
        return tag;
      }
      ++tag;
    }
    return source_.size();
  }

  // Text up to a tag, and the tag's begin.
  void root() {
    const size_t tag = find_tag();
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    if (tag == source_.size()) {
      if (!text.empty()) add(TokenKind::kData, std::string(text), at_);
      at_ = tag;
      return;
    }
    const size_t text_at = at_;
    at_ = tag + 2;
    const char second = source_[tag + 1];
    char sign = 0;
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) sign = source_[at_++];
    const Tag kind = second == '#' ? Tag::kComment : second == '{' ? Tag::kVariable : Tag::kBlock;
    text = strip_before_tag(text, sign, kind);
    if (!text.empty()) add(TokenKind::kData, std::string(text), text_at);

    if (kind == Tag::kComment) return comment(tag);
    if (kind == Tag::kBlock && raw_begin()) return raw(tag);
    const bool variable = kind == Tag::kVariable;
    add(variable ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, {}, tag);
    expression(variable);
  }

  // `-` strips all white space before the tag; without a sign lstrip_blocks strips the blanks
  // between the line's begin and a block or comment; `+` keeps them.
  std::string_view strip_before_tag(std::string_view text, char sign, Tag kind) const {
    if (sign == '-') return strip_right(text);
    if (sign == '+' || kind == Tag::kVariable) return text;
    const size_t newline = text.rfind('\n');
    const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (line_begin == 0 && !line_starting_) return text;
    return strip_left(text.substr(line_begin)).empty() ? text.substr(0, line_begin) : text;
  }

  void ended_tag(size_t from) { line_starting_ = at_ > from && source_[at_ - 1] == '\n'; }

  // The end of a block or comment: "-%}" takes all white space after it, "%}" one line break, "+%}"
  // nothing. False if `close` is not here.
  bool tag_end(std::string_view close) {
    const size_t from = at_;
    const bool signed_end = at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+');
    const char sign = signed_end ? source_[at_] : '\0';
    if (source_.compare(at_ + signed_end, close.size(), close) != 0) return false;
    at_ += signed_end + close.size();
    if (sign == '-') {
      skip_space();
    } else if (sign == 0 && at_ < source_.size() && source_[at_] == '\n') {
      ++at_;
    }
    ended_tag(from);
    return true;
  }

  void comment(size_t tag) {
    while (at_ < source_.size()) {
      if (tag_end("#}")) return;
      ++at_;
    }
    fail(tag, "Missing end of comment tag");
  }

  // After "{%" and its sign: moves past "raw %}" if that is what follows. No line break is trimmed
  // after it.
  bool raw_begin() {
    const size_t from = at_;
    skip_space();
    if (looking_at("raw")) {
      at_ += 3;
      skip_space();
      const bool minus = looking_at("-%}");
      if (minus || looking_at("%}")) {
        at_ += minus ? 3 : 2;
        if (minus) skip_space();
        ended_tag(from);
        return true;
      }
    }
    at_ = from;
    return false;
  }

  void raw(size_t tag) {
    const size_t text_at = at_;
    for (size_t end = at_; (end = source_.find("{%", end)) != std::string::npos; ++end) {
      at_ = end + 2;
      char sign = 0;
      if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+'))
        sign = source_[at_++];
      skip_space();
      if (!looking_at("endraw")) continue;
      at_ += 6;
      skip_space();
      // The text is stripped by the place before it, and tag_end() notes the place after it.
      const std::string_view text = strip_before_tag(
          std::string_view(source_).substr(text_at, end - text_at), sign, Tag::kBlock);
      if (!tag_end("%}")) continue;
      if (!text.empty()) add(TokenKind::kData, std::string(text), text_at);
      return;
    }
    fail(tag, "Missing end of raw directive");
  }

  // Tokens up to the end of the tag, which is one only outside of brackets.
  void expression(bool variable) {
    std::string open;
    while (true) {
      if (open.empty() && (variable ? variable_end() : block_end())) return;
      if (at_ >= source_.size()) fail(at_, "unexpected end of template inside a tag");
      const Character c = character_at(source_, at_);
      if (is_space(c.code_point)) {
        skip_space();
      } else if (is_ascii_digit(source_[at_])) {
        number();
      } else if (is_word(c.code_point)) {
        name();
      } else if (source_[at_] == '\'' || source_[at_] == '"') {
        string();
      } else {
        operation(open);
      }
    }
  }

  bool variable_end() {
    const bool minus = looking_at("-}}");
    if (!minus && !looking_at("}}")) return false;
    const size_t from = at_;
    add(TokenKind::kVariableEnd, {}, at_);
    at_ += minus ? 3 : 2;
    if (minus) skip_space();
    ended_tag(from);
    return true;
  }

  bool block_end() {
    const size_t from = at_;
    if (!tag_end("%}")) return false;
    add(TokenKind::kBlockEnd, {}, from);
    return true;
  }

  void name() {
    const size_t from = at_;
    while (at_ < source_.size()) {
      const Character c = character_at(source_, at_);
      if (!is_word(c.code_point) && !is_identifier_part(c.code_point)) break;
      at_ += c.size;
    }
    const std::string_view text = std::string_view(source_).substr(from, at_ - from);
    if (!is_identifier_start(character_at(text, 0).code_point))
      fail(from, "Invalid character in identifier");
    add(TokenKind::kName, std::string(text), from);
  }

  // (\d+_)*\d+ from at_; false (and nothing read) if there is no digit.
  bool digits(std::string& out, size_t& at) const {
    if (at >= source_.size() || !is_ascii_digit(source_[at])) return false;
    while (at < source_.size()) {
      if (is_ascii_digit(source_[at])) {
        out += source_[at++];
      } else if (source_[at] == '_' && at + 1 < source_.size() && is_ascii_digit(source_[at + 1])) {
        ++at;
      } else {
        break;
      }
    }
    return true;
  }

  void number() {
    if (radix_number()) return;
    const size_t from = at_;
    const bool after_dot = from > 0 && source_[from - 1] == '.';
    std::string text;
    size_t at = at_;
    digits(text, at);
    if (!after_dot) {
      std::string real = text;
      size_t real_at = at;
      if (fraction_and_exponent(real, real_at)) {
        at_ = real_at;
        return add(TokenKind::kFloat, std::move(real), from);
      }
    }
    // A leading zero stands alone: "007" is the integers 00 and 7, which no grammar rule accepts.
    if (text.front() == '0' && text.find_first_not_of('0') != std::string::npos) {
      fail(from, "expected token 'end of print statement', got 'integer'");
    }
    at_ = at;
    add(TokenKind::kInteger, std::move(text), from);
  }

  bool fraction_and_exponent(std::string& text, size_t& at) const {
    bool real = false;
    if (at + 1 < source_.size() && source_[at] == '.' && is_ascii_digit(source_[at + 1])) {
      text += source_[at++];
      digits(text, at);
      real = true;
    }
    if (at < source_.size() && (source_[at] == 'e' || source_[at] == 'E')) {
      size_t next = at + 1;
      std::string exponent = "e";
      if (next < source_.size() && (source_[next] == '+' || source_[next] == '-'))
        exponent += source_[next++];
      if (digits(exponent, next)) {
        text += exponent;
        at = next;
        real = true;
      }
    }
    return real;
  }

  // 0x1F, 0o17, 0b11, underscores between digits.
  bool radix_number() {
    if (source_[at_] != '0' || at_ + 2 >= source_.size()) return false;
    const char letter = static_cast<char>(source_[at_ + 1] | 0x20);
    const int radix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (radix == 0) return false;
    const auto is_radix_digit = [&](char c) {
      const int value = is_ascii_digit(c)                        ? c - '0'
                        : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                                 : 99;
      return value < radix;
    };
    std::string text;
    size_t at = at_ + 2;
    while (at < source_.size()) {
      if (source_[at] == '_' && at + 1 < source_.size() && is_radix_digit(source_[at + 1])) ++at;
      if (!is_radix_digit(source_[at])) break;
      text += source_[at++];
    }
    if (text.empty()) return false;
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, radix);
    if (error != std::errc()) fail(at_, "the integer does not fit in 64 bits");
    add(TokenKind::kInteger, std::to_string(value), at_);
    at_ = at;
    return true;
  }

  void string() {
    const size_t from = at_;
    const char quote = source_[at_];
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size())
      fail(from, "unexpected char " + python_quoted(std::string_view(&quote, 1)) +
                     " (no end of the string)");
    at_ = end + 1;
    add(TokenKind::kString, unescape(from + 1, end), from);
  }

  // Python's escapes. What follows an unknown one is kept with its backslash.
  std::string unescape(size_t at, size_t end) const {
    std::string out;
    while (at < end) {
      if (source_[at] != '\\') {
        out += source_[at++];
        continue;
      }
      const size_t escape = at;
      const char c = source_[at + 1];
      at += 2;
      static constexpr std::string_view kSimple = "abfnrtv\\'\"", kMeaning = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t simple = kSimple.find(c); simple != std::string_view::npos) {
        out += kMeaning[simple];
      } else if (c == '\n') {
        // A line break after a backslash joins the lines.
      } else if (c >= '0' && c <= '7') {
        uint32_t number = static_cast<uint32_t>(c - '0');
        for (int i = 0; i < 2 && at < end && source_[at] >= '0' && source_[at] <= '7'; ++i) {
          number = number * 8 + static_cast<uint32_t>(source_[at++] - '0');
        }
        append_escape(number, escape, out);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        const size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        uint32_t number = 0;
        const char* first = source_.data() + at;
        const char* last = source_.data() + std::min(end, at + count);
        const auto [stop, error] = std::from_chars(first, last, number, 16);
        if (error != std::errc() || stop != first + count)
          fail(escape, "truncated \\xXX, \\uXXXX or \\UXXXXXXXX escape");
        at += count;
        append_escape(number, escape, out);
      } else if (c == 'N') {
        fail(escape, "names of characters (\\N{...}) are not supported");
      } else {
        out += '\\';
        --at;  // the character itself may have several bytes
      }
    }
    return out;
  }

  void append_escape(uint32_t number, size_t escape, std::string& out) const {
    if (number > 0x10FFFF) fail(escape, "illegal Unicode character");
    if (number >= 0xD800 && number < 0xE000) fail(escape, "a lone surrogate is not a character");
    append_utf8(number, out);
  }

  void operation(std::string& open) {
    static constexpr std::string_view kOperators[] = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view candidate : kOperators) {
      if (!looking_at(candidate)) continue;
      const char c = candidate.size() == 1 ? candidate[0] : '\0';
      if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
      if (c == ')' || c == ']' || c == '}') {
        if (open.empty()) fail(at_, fmt::format("unexpected '{}'", c));
        if (open.back() != c)
          fail(at_, fmt::format("unexpected '{}', expected '{}'", c, open.back()));
        open.pop_back();
      }
      add(TokenKind::kOperator, std::string(candidate), at_);
      at_ += candidate.size();
      return;
    }
    const Character c = character_at(source_, at_);
    fail(at_, "unexpected char " + python_quoted(std::string_view(source_).substr(at_, c.size)));
  }

  const std::string source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  mutable size_t place_at_ = 0;
  mutable int place_line_ = 1, place_column_ = 1;
  bool line_starting_ = true;  // the text before at_ ended a line, or there is none
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace sluice::chat::jinja
