#include "chat/jinja/unicode.h"

#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include "base/utf8.h"

namespace sluice::chat::jinja {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

UChar32 icu(char32_t c) { return static_cast<UChar32>(c); }

// Full case mapping of one character, locale-independent, without its context.
void append_mapped(char32_t c, Case to, std::string& out) {
  if (c < 0x80) {
    const bool upper = to == Case::kUpper || to == Case::kTitle;
    char byte = static_cast<char>(c);
    if (upper && byte >= 'a' && byte <= 'z') byte = static_cast<char>(byte - 32);
    if (!upper && byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte + 32);
    out += byte;
    return;
  }
  UChar source[2], target[8];
  int32_t source_size = 0;
  UErrorCode status = U_ZERO_ERROR;
  U16_APPEND_UNSAFE(source, source_size, icu(c));
  int32_t size = 0;
  switch (to) {
    case Case::kUpper:
      size = u_strToUpper(target, 8, source, source_size, "", &status);
      break;
    case Case::kTitle:
      size = u_strToTitle(target, 8, source, source_size, nullptr, "", &status);
      break;
    case Case::kFold:
      size = u_strFoldCase(target, 8, source, source_size, 0, &status);
      break;
    default:
      size = u_strToLower(target, 8, source, source_size, "", &status);
      break;
  }
  if (U_FAILURE(status)) {
    append_utf8(c, out);
    return;
  }
  for (int32_t i = 0; i < size;) {
    UChar32 mapped = 0;
    U16_NEXT(target, i, size, mapped);
    append_utf8(static_cast<char32_t>(mapped), out);
  }
}

// A capital sigma ends a word: some cased letter before it and none after, case-ignorable ones
// aside.
bool is_final_sigma(std::string_view text, size_t at, size_t size) {
  const auto ignorable = [](char32_t c) {
    return u_hasBinaryProperty(icu(c), UCHAR_CASE_IGNORABLE) != 0;
  };
  size_t begin = at;
  char32_t before = 0;
  while (begin > 0) {
    const Character c = character_before(text, begin);
    begin -= c.size;
    before = c.code_point;
    if (!ignorable(before)) break;
    before = 0;
  }
  if (before == 0 || !is_cased(before)) return false;
  for (size_t next = at + size; next < text.size();) {
    const Character c = character_at(text, next);
    if (!ignorable(c.code_point)) return !is_cased(c.code_point);
    next += c.size;
  }
  return true;
}

constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;

void append_lower(std::string_view text, size_t at, const Character& c, std::string& out) {
  if (c.code_point == kCapitalSigma && is_final_sigma(text, at, c.size)) {
    append_utf8(kFinalSigma, out);
  } else {
    append_mapped(c.code_point, Case::kLower, out);
  }
}

bool is_upper(char32_t c) { return u_hasBinaryProperty(icu(c), UCHAR_UPPERCASE) != 0; }
bool is_lower(char32_t c) { return u_hasBinaryProperty(icu(c), UCHAR_LOWERCASE) != 0; }
bool is_title(char32_t c) { return u_charType(icu(c)) == U_TITLECASE_LETTER; }

// Walks the characters with their origin: visit(byte offset, character, data).
template <typename Visit>
void for_each_character(const Text& text, Visit&& visit) {
  const std::string_view all = text.view();
  size_t run_begin = 0;
  // A character is never split between two origins: runs begin and end at whole strings.
  text.for_each_run([&](std::string_view piece, bool data) {
    for (size_t at = run_begin; at < run_begin + piece.size();) {
      const Character c = character_at(all, at);
      visit(at, c, data);
      at += c.size;
    }
    run_begin += piece.size();
  });
}

bool in_set(char32_t c, std::string_view set) {
  for (size_t at = 0; at < set.size();) {
    const Character member = character_at(set, at);
    if (member.code_point == c) return true;
    at += member.size;
  }
  return false;
}

}  // namespace

Character character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {first, 1};
  const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
  if (size == 1 || at + size > text.size()) return {0xFFFD, 1};
  char32_t c = first & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if (!is_continuation(text[at + i])) return {0xFFFD, 1};
    c = (c << 6) | (byte(at + i) & 0x3F);
  }
  return {c, size};
}

Character character_before(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && is_continuation(text[begin])) --begin;
  const Character c = character_at(text, begin);
  return begin + c.size == end ? c : Character{0xFFFD, 1};
}

size_t count_characters(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += !is_continuation(c);
  return count;
}

size_t byte_offset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (is_continuation(text[at])) continue;
    if (index-- == 0) break;
  }
  return at;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}
bool is_line_break(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}
bool is_printable(char32_t c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7F;
  switch (u_charType(icu(c))) {
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:
    case U_SURROGATE:
    case U_PRIVATE_USE_CHAR:
    case U_UNASSIGNED:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
    case U_SPACE_SEPARATOR:
      return false;
    default:
      return true;
  }
}
bool is_cased(char32_t c) { return u_hasBinaryProperty(icu(c), UCHAR_CASED) != 0; }
bool is_identifier_start(char32_t c) {
  return c == '_' || u_hasBinaryProperty(icu(c), UCHAR_XID_START) != 0;
}
bool is_identifier_part(char32_t c) { return u_hasBinaryProperty(icu(c), UCHAR_XID_CONTINUE) != 0; }
bool is_alpha(char32_t c) { return (U_GET_GC_MASK(icu(c)) & U_GC_L_MASK) != 0; }
bool is_decimal(char32_t c) { return u_charType(icu(c)) == U_DECIMAL_DIGIT_NUMBER; }
bool is_digit(char32_t c) {
  const auto type = u_getIntPropertyValue(icu(c), UCHAR_NUMERIC_TYPE);
  return type == U_NT_DECIMAL || type == U_NT_DIGIT;
}
bool is_numeric(char32_t c) {
  return u_getIntPropertyValue(icu(c), UCHAR_NUMERIC_TYPE) != U_NT_NONE;
}
bool is_alphanumeric(char32_t c) { return is_alpha(c) || is_numeric(c); }
bool is_word(char32_t c) { return c == '_' || is_alphanumeric(c); }

std::string_view strip_left(std::string_view text, const std::string_view* characters) {
  while (!text.empty()) {
    const Character c = character_at(text, 0);
    if (!(characters ? in_set(c.code_point, *characters) : is_space(c.code_point))) break;
    text.remove_prefix(c.size);
  }
  return text;
}
std::string_view strip_right(std::string_view text, const std::string_view* characters) {
  while (!text.empty()) {
    const Character c = character_before(text, text.size());
    if (!(characters ? in_set(c.code_point, *characters) : is_space(c.code_point))) break;
    text.remove_suffix(c.size);
  }
  return text;
}

Text change_case(const Text& text, Case to) {
  TextBuilder builder;
  std::string mapped;
  bool after_cased = false;
  for_each_character(text, [&](size_t at, const Character& c, bool data) {
    mapped.clear();
    Case use = to;
    if (to == Case::kTitle && after_cased) use = Case::kLower;
    if (to == Case::kSwap) use = is_upper(c.code_point) ? Case::kLower : Case::kUpper;
    if (use == Case::kLower) {
      append_lower(text.view(), at, c, mapped);
    } else if (to == Case::kSwap && !is_lower(c.code_point)) {
      append_utf8(c.code_point, mapped);
    } else {
      append_mapped(c.code_point, use, mapped);
    }
    after_cased = is_cased(c.code_point);
    builder.append(mapped, data);
  });
  return builder.finish();
}

Text capitalize(const Text& text) {
  TextBuilder builder;
  std::string mapped;
  for_each_character(text, [&](size_t at, const Character& c, bool data) {
    mapped.clear();
    if (at == 0) {
      append_mapped(c.code_point, Case::kTitle, mapped);
    } else {
      append_lower(text.view(), at, c, mapped);
    }
    builder.append(mapped, data);
  });
  return builder.finish();
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    size_t next = at + c.size;
    if (is_line_break(c.code_point)) {
      if (c.code_point == '\r' && next < text.size() && text[next] == '\n') ++next;
      lines.push_back(text.substr(begin, (keep_ends ? next : at) - begin));
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

bool all_characters(std::string_view text, bool (*property)(char32_t)) {
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (!property(c.code_point)) return false;
    at += c.size;
  }
  return !text.empty();
}

namespace {
bool has_cased_and_none(std::string_view text, bool (*wanted)(char32_t), bool (*other)(char32_t)) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (other(c.code_point) || is_title(c.code_point)) return false;
    any = any || wanted(c.code_point);
    at += c.size;
  }
  return any;
}
}  // namespace

bool is_upper_text(std::string_view text) { return has_cased_and_none(text, is_upper, is_lower); }
bool is_lower_text(std::string_view text) { return has_cased_and_none(text, is_lower, is_upper); }
bool is_title_text(std::string_view text) {
  bool any = false, after_cased = false;
  for (size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (is_upper(c.code_point) || is_title(c.code_point)) {
      if (after_cased) return false;
      after_cased = any = true;
    } else if (is_lower(c.code_point)) {
      if (!after_cased) return false;
      any = true;
    } else {
      after_cased = false;
    }
    at += c.size;
  }
  return any;
}

}  // namespace sluice::chat::jinja
