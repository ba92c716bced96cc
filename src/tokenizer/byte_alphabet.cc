#include "tokenizer/byte_alphabet.h"

#include <array>

namespace sluice::tokenizer {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr char32_t kFirstShifted = 0x100;
constexpr size_t kCharacters = kFirstShifted + 68;

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, kCharacters> byte{};  // -1: not in the alphabet
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  for (int16_t& byte : alphabet.byte) byte = -1;
  char32_t next = kFirstShifted;
  for (unsigned byte = 0; byte < 256; ++byte) {
    alphabet.character[byte] = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
    alphabet.byte[alphabet.character[byte]] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

char32_t alphabet_character(uint8_t byte) { return kAlphabet.character[byte]; }

bool append_token_bytes(std::string_view token, std::string& out) {
  const size_t start = out.size();
  for (size_t i = 0; i < token.size(); ++i) {
    // The alphabet ends below U+0800: one byte, or a lead and one continuation.
    auto character = static_cast<uint8_t>(token[i]);
    size_t code_point = character;
    if (character >= 0x80) {
      const bool two_bytes = character >= 0xC2 && character < 0xE0 && i + 1 < token.size();
      code_point = two_bytes ? (character & 0x1Fu) << 6 | (static_cast<uint8_t>(token[++i]) & 0x3Fu)
                             : kCharacters;
    }
    if (code_point >= kCharacters || kAlphabet.byte[code_point] < 0) {
      out.resize(start);
      out.append(token);
      return false;
    }
    out += static_cast<char>(kAlphabet.byte[code_point]);
  }
  return true;
}

}  // namespace sluice::tokenizer
