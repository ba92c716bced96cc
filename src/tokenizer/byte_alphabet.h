// The byte alphabet of byte-level BPE: each of the 256 bytes is written as one printable character,
// so that token strings are text. Bytes that print as themselves in Latin-1 stand for themselves;
// the other 68 are U+0100, U+0101, ... in order (a space is U+0120).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::tokenizer {

// The character that stands for `byte`.
char32_t alphabet_character(uint8_t byte);

// Appends the bytes that a token string stands for and returns true. If one of its characters is
// not in the alphabet, the string stands for its own UTF-8 bytes (as the Hugging Face decoder has
// it); returns false then. `token` must be well-formed UTF-8.
bool append_token_bytes(std::string_view token, std::string& out);

}  // namespace sluice::tokenizer
