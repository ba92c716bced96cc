// Characters as Python's str sees them: white space, case, printability, over UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/text.h"

namespace sluice::chat::jinja {

// The character at byte `at` (of well-formed UTF-8; an ill-formed byte counts as one character) and
// its bytes.
struct Character {
  char32_t code_point = 0;
  size_t size = 0;
};
Character character_at(std::string_view text, size_t at);
Character character_before(std::string_view text, size_t end);

size_t count_characters(std::string_view text);
// Byte offset of character `index`; text.size() if there are fewer.
size_t byte_offset(std::string_view text, size_t index);

bool is_space(char32_t c);       // str.isspace
bool is_line_break(char32_t c);  // where str.splitlines breaks
bool is_printable(char32_t c);   // str.isprintable
bool is_cased(char32_t c);
bool is_identifier_start(char32_t c);
bool is_identifier_part(char32_t c);
bool is_word(char32_t c);  // \w of Python's re

// str.strip and its sides, with a set of characters (empty optional: white space).
std::string_view strip_left(std::string_view text, const std::string_view* characters = nullptr);
std::string_view strip_right(std::string_view text, const std::string_view* characters = nullptr);

enum class Case { kUpper, kLower, kTitle, kSwap, kFold };
// The whole text in one case, full mappings ("ß" -> "SS"), each character with the origin it had.
// kTitle is str.title (a letter after a non-letter is upper).
Text change_case(const Text& text, Case to);
Text capitalize(const Text& text);  // str.capitalize

// Lines without their ends, as str.splitlines(); or with them.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// str.is…: true iff there is a character and all have the property.
bool all_characters(std::string_view text, bool (*property)(char32_t));
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_alphanumeric(char32_t c);
bool is_upper_text(std::string_view text);
bool is_lower_text(std::string_view text);
bool is_title_text(std::string_view text);

}  // namespace sluice::chat::jinja
