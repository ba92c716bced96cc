#include "tokenizer/nfc.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/utf8.h"
#include "tokenizer/unicode_classes.h"

namespace sluice::tokenizer {
namespace {

struct Character {
  char32_t code_point;
  uint8_t combining_class;
};

uint8_t combining_class(const UnicodeClasses& classes, char32_t c) {
  return classes.combines(c) ? u_getCombiningClass(static_cast<UChar32>(c)) : uint8_t{0};
}

// Assigned by Unicode 9.0.
bool is_known(UChar32 c) {
  UVersionInfo age;
  u_charAge(c, age);
  return age[0] <= 9;
}

const UNormalizer2* icu_nfc() {
  UErrorCode error = U_ZERO_ERROR;
  const UNormalizer2* normalizer = unorm2_getNFCInstance(&error);
  SLUICE_CHECK(U_SUCCESS(error), "ICU error {}", static_cast<int>(error));
  return normalizer;
}

// Full canonical decomposition, not yet in canonical order.
void decompose(const UNormalizer2* normalizer, const UnicodeClasses& classes, std::string_view text,
               std::vector<Character>& out) {
  std::array<UChar, 32> parts;  // the longest canonical decomposition has 4 units
  for (size_t i = 0; i < text.size();) {
    const auto [c, length] = decode_character(text, i);
    i += length;
    UErrorCode error = U_ZERO_ERROR;
    const int32_t units = unorm2_getDecomposition(normalizer, static_cast<UChar32>(c), parts.data(),
                                                  static_cast<int32_t>(parts.size()), &error);
    SLUICE_CHECK(U_SUCCESS(error), "ICU error {}", static_cast<int>(error));
    if (units < 0 || !is_known(static_cast<UChar32>(c))) {
      out.push_back({c, combining_class(classes, c)});
      continue;
    }
    for (int32_t k = 0; k < units;) {
      UChar32 part = 0;
      U16_NEXT(parts.data(), k, units, part);
      const auto code_point = static_cast<char32_t>(part);
      out.push_back({code_point, combining_class(classes, code_point)});
    }
  }
}

// Canonical ordering: each run of combining characters by class, equal classes in order of
// appearance.
void sort_marks(std::vector<Character>& characters) {
  for (size_t i = 0; i < characters.size();) {
    size_t end = i + 1;
    if (characters[i].combining_class != 0) {
      while (end < characters.size() && characters[end].combining_class != 0) ++end;
      std::stable_sort(characters.begin() + static_cast<ptrdiff_t>(i),
                       characters.begin() + static_cast<ptrdiff_t>(end),
                       [](const Character& a, const Character& b) {
                         return a.combining_class < b.combining_class;
                       });
    }
    i = end;
  }
}

// Canonical composition in place (Unicode standard, D117): a character joins the last starter
// unless one between them has class 0 or a class that is not smaller.
void compose(const UNormalizer2* normalizer, const UnicodeClasses& classes,
             std::vector<Character>& characters) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t starter = kNone, kept = 0;
  uint8_t last_class = 0;
  for (const Character character : characters) {
    const bool adjacent = starter != kNone && kept == starter + 1;
    if (starter != kNone && (adjacent || last_class < character.combining_class)) {
      const UChar32 composite =
          unorm2_composePair(normalizer, static_cast<UChar32>(characters[starter].code_point),
                             static_cast<UChar32>(character.code_point));
      if (composite >= 0 && is_known(composite)) {
        const auto code_point = static_cast<char32_t>(composite);
        characters[starter] = {code_point, combining_class(classes, code_point)};
        continue;
      }
    }
    if (character.combining_class == 0) starter = kept;
    last_class = character.combining_class;
    characters[kept++] = character;
  }
  characters.resize(kept);
}

// Offset of the first byte from `i` on that can belong to a character that starts_unit() denies:
// those are all at U+0300 or above, whose UTF-8 begins with 0xCC or more.
size_t skip_low_characters(std::string_view text, size_t i) {
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080u) == 0) continue;
    for (size_t k = 0; k < 8; ++k) {
      if (static_cast<uint8_t>(text[i + k]) >= 0xCC) return i + k;
    }
  }
  while (i < text.size() && static_cast<uint8_t>(text[i]) < 0xCC) ++i;
  return i;
}

// The next unit that needs normalizing: [begin, end) lies between two characters that start a unit
// (or the ends of the text). begin == end == size if there is none.
struct Unit {
  size_t begin, end;
};
Unit find_unit(const UnicodeClasses& classes, std::string_view text, size_t from) {
  size_t begin = from;  // of the unit that the scan is in
  uint8_t last_class = 0;
  for (size_t i = from; i < text.size();) {
    const size_t high = skip_low_characters(text, i);
    if (high > i) {
      if (high == text.size()) break;
      // What was skipped starts units; the last such character begins the current one.
      begin = high - 1;
      while ((static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
      last_class = 0;
      i = high;
    }
    const auto [c, length] = decode_character(text, i);
    if (classes.starts_unit(c)) {
      begin = i;
      last_class = 0;
    } else {
      const uint8_t this_class = combining_class(classes, c);
      if (classes.may_change(c) || (this_class != 0 && this_class < last_class)) {
        size_t end = i + length;
        while (end < text.size()) {
          const auto next = decode_character(text, end);
          if (classes.starts_unit(next.code_point)) break;
          end += next.length;
        }
        return {begin, end};
      }
      last_class = this_class;
    }
    i += length;
  }
  return {text.size(), text.size()};
}

}  // namespace

bool normalize_nfc(std::string_view text, std::string& out, std::vector<NfcChange>* changes) {
  if (skip_low_characters(text, 0) == text.size()) return false;
  const UnicodeClasses& classes = UnicodeClasses::get();
  Unit unit = find_unit(classes, text, 0);
  if (unit.begin == text.size()) return false;

  const UNormalizer2* normalizer = icu_nfc();
  std::string target;
  target.reserve(text.size());
  std::vector<Character> characters;
  std::string replaced;
  bool changed = false;
  for (size_t copied = 0; copied < text.size();) {
    target.append(text.substr(copied, unit.begin - copied));
    const std::string_view source = text.substr(unit.begin, unit.end - unit.begin);
    characters.clear();
    decompose(normalizer, classes, source, characters);
    sort_marks(characters);
    compose(normalizer, classes, characters);
    replaced.clear();
    for (const Character character : characters) append_utf8(character.code_point, replaced);
    if (replaced != source) {
      changed = true;
      if (changes != nullptr) {
        changes->push_back({unit.begin, unit.end, target.size(), target.size() + replaced.size()});
      }
    }
    target += replaced;
    copied = unit.end;
    unit = find_unit(classes, text, copied);
  }
  if (changed) out = std::move(target);
  return changed;
}

}  // namespace sluice::tokenizer
