// What the tokenizer asks about a character, as one byte per code point: its class for the
// pre-tokenizer and two facts for normalization. Built once per process from ICU's tables (about 90
// kB): a lookup costs two loads where ICU needs three calls into its library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace sluice::tokenizer {

enum class CharacterClass : uint8_t {
  kOther,       // punctuation, symbols, controls, unassigned
  kLetter,      // general category L*
  kMark,        // M*
  kNumber,      // N*
  kWhiteSpace,  // White_Space=Yes, but for the two of kNewline
  kNewline,     // U+000A, U+000D
};

// Code point at text[i] and its length. `text` must be well-formed UTF-8.
struct DecodedCharacter {
  char32_t code_point;
  uint32_t length;
};
inline DecodedCharacter decode_character(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) {
    return static_cast<uint32_t>(static_cast<uint8_t>(text[i + k]));
  };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F),
          4};
}

class UnicodeClasses {
 public:
  static const UnicodeClasses& get();  // thread-safe

  CharacterClass character_class(char32_t c) const {
    return static_cast<CharacterClass>(properties(c) & kClassMask);
  }
  // Canonical_Combining_Class is not 0.
  bool combines(char32_t c) const { return (properties(c) & kCombines) != 0; }
  // NFC_Quick_Check is No or Maybe: the character may change, or change the one before it.
  bool may_change(char32_t c) const { return (properties(c) & kMayChange) != 0; }
  // Neither: text can be normalized in two parts, cut before this character.
  bool starts_unit(char32_t c) const { return (properties(c) & (kCombines | kMayChange)) == 0; }

  size_t memory_bytes() const;

 private:
  static constexpr uint8_t kClassMask = 0x07;
  static constexpr uint8_t kCombines = 0x08;
  static constexpr uint8_t kMayChange = 0x10;
  static constexpr size_t kPageSize = 256;
  static constexpr size_t kPages = 0x110000 / kPageSize;

  UnicodeClasses();
  uint8_t properties(char32_t c) const {
    return pages_[page_of_[c / kPageSize] * kPageSize + c % kPageSize];
  }

  std::array<uint16_t, kPages> page_of_;
  std::vector<uint8_t> pages_;  // the distinct pages, one after the other
};

}  // namespace sluice::tokenizer
