// UTF-8 of bytes from outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// Offset of the first byte that is not well-formed UTF-8 (RFC 3629: no surrogates, no overlong
// forms, nothing above U+10FFFF); nothing if all of it is.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// Number of bytes at the end of `text` that begin a character but do not finish it (0 to 3).
size_t incomplete_utf8_suffix(std::string_view text);

// Each maximal ill-formed subpart replaced by U+FFFD (the WHATWG and Python "replace" rule).
std::string replace_invalid_utf8(std::string_view text);

void append_utf8(char32_t code_point, std::string& out);

}  // namespace sluice
