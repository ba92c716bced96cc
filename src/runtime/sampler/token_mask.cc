#include "runtime/sampler/token_mask.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"

namespace sluice::runtime {

bool allows_any(std::span<const uint64_t> allowed) {
  return std::any_of(allowed.begin(), allowed.end(), [](uint64_t word) { return word != 0; });
}

bool allows(std::span<const uint64_t> allowed, TokenId id) {
  const auto bit = static_cast<size_t>(id);
  return bit / 64 < allowed.size() && (allowed[bit / 64] >> (bit % 64) & 1) != 0;
}

void forbid_others(std::span<float> logits, std::span<const uint64_t> allowed) {
  if (allowed.empty()) return;
  SLUICE_CHECK(allowed.size() == mask_words(logits.size()), "{} words for {} logits",
               allowed.size(), logits.size());
  for (size_t word = 0; word < allowed.size(); ++word) {
    const size_t count = std::min<size_t>(64, logits.size() - word * 64);
    uint64_t forbidden = ~allowed[word];
    if (count < 64) forbidden &= (uint64_t{1} << count) - 1;
    for (; forbidden != 0; forbidden &= forbidden - 1) {
      logits[word * 64 + static_cast<size_t>(std::countr_zero(forbidden))] =
          -std::numeric_limits<float>::infinity();
    }
  }
}

}  // namespace sluice::runtime
