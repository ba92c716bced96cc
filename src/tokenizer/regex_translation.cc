// Oniguruma's dialect to PCRE2's: a list of what is allowed, since a construct that both accept
// with different meanings would split text wrongly without a word.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "tokenizer/regex_splitter.h"

namespace sluice::tokenizer {
namespace {

// White_Space=Yes. PCRE2's own \s adds U+180E.
constexpr std::string_view kWhiteSpace =
    R"(\t-\r\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

constexpr std::array<std::string_view, 37> kGeneralCategories = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd", "Nl",
    "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk",
    "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Cn", "Co", "Cs"};

constexpr std::array<std::string_view, 9> kGroups = {"(?:", "(?=",  "(?!",   "(?<=", "(?<!",
                                                     "(?>", "(?i:", "(?-i:", "("};

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  Result<std::string> run() {
    while (position_ < pattern_.size()) {
      const Status status = in_class_ ? class_item() : item();
      if (!status.ok()) return status.error();
    }
    return std::move(out_);
  }

 private:
  std::string_view rest() const { return pattern_.substr(position_); }
  void copy(size_t bytes) {
    out_.append(rest().substr(0, bytes));
    position_ += bytes;
  }
  Error refuse(std::string_view construct) const {
    return bad_input(fmt::format("pattern {}", pattern_),
                     fmt::format("\"{}\" at byte {} is not supported", construct, position_));
  }

  Status item() {
    const char c = pattern_[position_];
    if (c == '\\') return escape();
    if (c == '^' || c == '$') return refuse(std::string_view(&pattern_[position_], 1));
    if (c == '(') return group();
    if (c == '{') return repetition();
    if (c == '[') {
      in_class_ = true;
      class_start_ = true;
      const size_t length = rest().starts_with("[^") ? 2 : 1;
      copy(length);
      return {};
    }
    copy(1);
    return {};
  }

  Status group() {
    for (const std::string_view opening : kGroups) {
      if (!rest().starts_with(opening)) continue;
      if (opening == "(" && rest().size() > 1 && (rest()[1] == '?' || rest()[1] == '*')) break;
      copy(opening.size());
      return {};
    }
    return refuse(rest().substr(0, 4));
  }

  // {n}, {n,}, {n,m}, greedy. A lazy or possessive mark after it means something else in Oniguruma.
  Status repetition() {
    const size_t close = rest().find('}');
    if (close == std::string_view::npos) return refuse("{");
    const std::string_view body = rest().substr(1, close - 1);
    const bool plain = !body.empty() && body.front() != ',' &&
                       body.find_first_not_of("0123456789,") == std::string_view::npos &&
                       std::count(body.begin(), body.end(), ',') <= 1;
    const char after = close + 1 < rest().size() ? rest()[close + 1] : '\0';
    if (!plain || after == '?' || after == '+') return refuse(rest().substr(0, close + 2));
    copy(close + 1);
    return {};
  }

  Status class_item() {
    const char c = pattern_[position_];
    if (c == ']' && class_start_) return refuse("[]");
    class_start_ = false;
    if (c == ']') in_class_ = false;
    if (c == '[') return refuse(rest().substr(0, 2));  // nested class or [:name:]
    if (rest().starts_with("&&")) return refuse("&&");
    if (c == '\\') return escape();
    copy(1);
    return {};
  }

  Status escape() {
    if (rest().size() < 2) return refuse("\\");
    class_start_ = false;
    const char c = rest()[1];
    if (c == 's' || c == 'S') {
      if (in_class_ && c == 'S') return refuse("[\\S]");
      out_ += in_class_ ? std::string(kWhiteSpace)
                        : fmt::format("[{}{}]", c == 'S' ? "^" : "", kWhiteSpace);
      position_ += 2;
      return {};
    }
    if (c == 'p' || c == 'P') return property();
    const bool punctuation = static_cast<unsigned char>(c) < 0x80 && c > ' ' &&
                             !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') &&
                             !(c >= 'a' && c <= 'z');
    if (!punctuation && std::string_view("rntfdD").find(c) == std::string_view::npos) {
      return refuse(rest().substr(0, 2));
    }
    copy(2);
    return {};
  }

  Status property() {
    const size_t close = rest().find('}');
    if (rest().size() < 4 || rest()[2] != '{' || close == std::string_view::npos) {
      return refuse(rest().substr(0, 2));
    }
    std::string_view name = rest().substr(3, close - 3);
    if (name.starts_with('^')) name.remove_prefix(1);
    if (std::find(kGeneralCategories.begin(), kGeneralCategories.end(), name) !=
        kGeneralCategories.end()) {
      copy(close + 1);
      return {};
    }
    // Scripts that published patterns name; a bare name would mean Script_Extensions to PCRE2.
    for (const std::string_view script :
         {"Han", "Hiragana", "Katakana", "Hangul", "Thai", "Latin"}) {
      if (name != script || rest()[3] == '^') continue;
      out_ += fmt::format("\\{}{{sc:{}}}", rest()[1], script);
      position_ += close + 1;
      return {};
    }
    return refuse(rest().substr(0, close + 1));
  }

  std::string_view pattern_;
  std::string out_;
  size_t position_ = 0;
  bool in_class_ = false;
  bool class_start_ = false;  // nothing of the class read yet
};

}  // namespace

Result<std::string> translate_pattern(std::string_view pattern) {
  return Translator(pattern).run();
}

}  // namespace sluice::tokenizer
