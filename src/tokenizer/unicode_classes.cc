#include "tokenizer/unicode_classes.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uset.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "base/check.h"

namespace sluice::tokenizer {
namespace {

constexpr size_t kCodePoints = 0x110000;

// Calls set(first, last) for the ranges of an ICU set pattern.
template <typename SetRange>
void for_each_range(std::u16string_view pattern, SetRange set) {
  UErrorCode error = U_ZERO_ERROR;
  const std::unique_ptr<USet, decltype(&uset_close)> ranges(
      uset_openPattern(pattern.data(), static_cast<int32_t>(pattern.size()), &error), &uset_close);
  SLUICE_CHECK(U_SUCCESS(error), "ICU error {}", static_cast<int>(error));
  for (int32_t i = 0; i < uset_getItemCount(ranges.get()); ++i) {
    UChar32 first = 0, last = 0;
    uset_getItem(ranges.get(), i, &first, &last, nullptr, 0, &error);
    set(static_cast<size_t>(first), static_cast<size_t>(last));
  }
}

CharacterClass class_of_category(UCharCategory category) {
  const uint32_t mask = U_MASK(category);
  if ((mask & U_GC_L_MASK) != 0) return CharacterClass::kLetter;
  if ((mask & U_GC_M_MASK) != 0) return CharacterClass::kMark;
  if ((mask & U_GC_N_MASK) != 0) return CharacterClass::kNumber;
  return CharacterClass::kOther;
}

}  // namespace

const UnicodeClasses& UnicodeClasses::get() {
  static const UnicodeClasses classes;
  return classes;
}

UnicodeClasses::UnicodeClasses() {
  std::string all(kCodePoints, '\0');
  u_enumCharTypes(
      [](const void* context, UChar32 start, UChar32 limit, UCharCategory category) -> UBool {
        std::string& target = *static_cast<std::string*>(const_cast<void*>(context));
        std::fill(target.begin() + start, target.begin() + limit,
                  static_cast<char>(class_of_category(category)));
        return true;
      },
      &all);
  const auto set_class = [&](CharacterClass value) {
    return [&all, value](size_t first, size_t last) {
      std::fill(all.begin() + static_cast<ptrdiff_t>(first),
                all.begin() + static_cast<ptrdiff_t>(last) + 1, static_cast<char>(value));
    };
  };
  const auto add_flag = [&](uint8_t flag) {
    return [&all, flag](size_t first, size_t last) {
      for (size_t c = first; c <= last; ++c) all[c] = static_cast<char>(all[c] | flag);
    };
  };
  for_each_range(u"[:White_Space=Yes:]", set_class(CharacterClass::kWhiteSpace));
  for_each_range(u"[\\u000A\\u000D]", set_class(CharacterClass::kNewline));
  // Age=9.0 is everything assigned up to that version.
  for_each_range(u"[[:^ccc=0:]&[:Age=9.0:]]", add_flag(kCombines));
  for_each_range(u"[[:^NFC_Quick_Check=Yes:]&[:Age=9.0:]]", add_flag(kMayChange));

  std::map<std::string_view, uint16_t> known;
  for (size_t page = 0; page < kPages; ++page) {
    const std::string_view content(all.data() + page * kPageSize, kPageSize);
    const auto [entry, is_new] = known.try_emplace(content, static_cast<uint16_t>(known.size()));
    if (is_new) pages_.insert(pages_.end(), content.begin(), content.end());
    page_of_[page] = entry->second;
  }
  pages_.shrink_to_fit();
}

size_t UnicodeClasses::memory_bytes() const { return sizeof *this + pages_.capacity(); }

}  // namespace sluice::tokenizer
