#include "tokenizer/family_splitter.h"

#include <array>

#include "tokenizer/unicode_classes.h"

namespace sluice::tokenizer {
namespace {

constexpr uint32_t bit(CharacterClass c) { return 1u << static_cast<unsigned>(c); }
constexpr uint32_t kLetter = bit(CharacterClass::kLetter);
constexpr uint32_t kMark = bit(CharacterClass::kMark);
constexpr uint32_t kNumber = bit(CharacterClass::kNumber);
constexpr uint32_t kOther = bit(CharacterClass::kOther);
constexpr uint32_t kNewline = bit(CharacterClass::kNewline);
constexpr uint32_t kSpaces = bit(CharacterClass::kWhiteSpace) | kNewline;

constexpr std::array<uint8_t, 128> make_ascii_bits() {
  std::array<uint8_t, 128> bits{};
  for (unsigned c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool newline = c == '\n' || c == '\r';
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    bits[c] = static_cast<uint8_t>(letter                 ? kLetter
                                   : c >= '0' && c <= '9' ? kNumber
                                   : newline              ? kNewline
                                   : space                ? kSpaces & ~kNewline
                                                          : kOther);
  }
  return bits;
}
constexpr std::array<uint8_t, 128> kAsciiBits = make_ascii_bits();

// Walks over one text.
class Scanner {
 public:
  Scanner(std::string_view text, uint32_t word, uint32_t symbol)
      : text_(text), classes_(UnicodeClasses::get()), word_(word), symbol_(symbol) {}

  // End of the piece that begins at `begin`. The alternatives stand in the pattern's order.
  size_t piece_end(size_t begin) const {
    const Step first = step(begin);
    if (text_[begin] == '\'') {
      if (const size_t length = contraction_length(begin); length != 0) return begin + length;
    }
    if ((first.bit & word_) != 0) return run_end(first.end, word_);
    if ((first.bit & (kNewline | kNumber)) == 0 && first.end < text_.size()) {
      const Step second = step(first.end);
      if ((second.bit & word_) != 0) return run_end(second.end, word_);
      if (text_[begin] == ' ' && (second.bit & symbol_) != 0) return symbols_end(second.end);
    }
    if ((first.bit & kNumber) != 0) return first.end;
    if ((first.bit & symbol_) != 0) return symbols_end(first.end);
    return spaces_end(begin);
  }

 private:
  struct Step {
    uint32_t bit;  // class of the character
    size_t end;
  };

  Step step(size_t i) const {
    const auto byte = static_cast<uint8_t>(text_[i]);
    if (byte < 0x80) return {kAsciiBits[byte], i + 1};
    const auto [code_point, length] = decode_character(text_, i);
    return {bit(classes_.character_class(code_point)), i + length};
  }

  size_t run_end(size_t i, uint32_t wanted) const {
    while (i < text_.size()) {
      const Step next = step(i);
      if ((next.bit & wanted) == 0) break;
      i = next.end;
    }
    return i;
  }

  // `[symbols]+[\r\n]*`, the first symbol already passed.
  size_t symbols_end(size_t i) const { return run_end(run_end(i, symbol_), kNewline); }

  // `\s*[\r\n]+|\s+(?!\S)|\s+` at a white space: up to the last line end of the run if there is
  // one, else the run without its last character, which goes with what follows, unless nothing
  // follows or it is alone.
  size_t spaces_end(size_t begin) const {
    size_t last_line_end = 0, last_begin = begin, i = begin;
    while (i < text_.size()) {
      const Step next = step(i);
      if ((next.bit & kSpaces) == 0) break;
      if (next.bit == kNewline) last_line_end = next.end;
      last_begin = i;
      i = next.end;
    }
    if (last_line_end != 0) return last_line_end;
    return i == text_.size() || last_begin == begin ? i : last_begin;
  }

  // Length of `(?i:'s|'t|'re|'ve|'m|'ll|'d)` at an apostrophe, or 0.
  size_t contraction_length(size_t i) const {
    const auto lower = [&](size_t k) {
      const char c = i + k < text_.size() ? text_[i + k] : '\0';
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    const char second = lower(1), third = lower(2);
    if (second == 's' || second == 't' || second == 'm' || second == 'd') return 2;
    if ((second == 'r' || second == 'v') && third == 'e') return 3;
    if (second == 'l' && third == 'l') return 3;
    if (text_.substr(i + 1, 2) == "\u017F")
      return 3;  // the long s is an s when case does not matter
    return 0;
  }

  std::string_view text_;
  const UnicodeClasses& classes_;
  uint32_t word_, symbol_;
};

}  // namespace

std::optional<FamilySplitter> FamilySplitter::from_pattern(std::string_view pattern) {
  if (pattern == kQwen35Pattern) return FamilySplitter(kLetter | kMark, kOther);
  if (pattern == kQwen2Pattern) return FamilySplitter(kLetter, kOther | kMark);
  return std::nullopt;
}

void FamilySplitter::split(std::string_view text, std::vector<uint32_t>& ends) const {
  const Scanner scanner(text, word_classes_, symbol_classes_);
  for (size_t i = 0; i < text.size();) {
    i = scanner.piece_end(i);
    ends.push_back(static_cast<uint32_t>(i));
  }
}

}  // namespace sluice::tokenizer
