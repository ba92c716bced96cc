#include "tokenizer/merge_table.h"

#include <bit>

#include "base/check.h"

namespace sluice::tokenizer {

void MergeTable::reserve(size_t count) {
  SLUICE_CHECK(merged_.empty() && count <= kMaxMerges, "{} merges", count);
  const size_t slots = std::bit_ceil(2 * count + 2);
  slots_.assign(slots, kEmpty);
  mask_ = slots - 1;
  shift_ = 64 - static_cast<unsigned>(std::countr_zero(slots));
  merged_.reserve(count);
}

bool MergeTable::add(TokenId left, TokenId right, TokenId merged) {
  SLUICE_CHECK(2 * (merged_.size() + 1) <= slots_.size(), "{} merges in {} slots", merged_.size(),
               slots_.size());
  const uint64_t key = pair_key(left, right);
  size_t slot = home(key);
  for (; slots_[slot] != kEmpty; slot = (slot + 1) & mask_) {
    if (slots_[slot] >> kRankBits == key) return false;
  }
  slots_[slot] = key << kRankBits | merged_.size();
  merged_.push_back(merged);
  return true;
}

size_t MergeTable::memory_bytes() const {
  return slots_.capacity() * sizeof(uint64_t) + merged_.capacity() * sizeof(TokenId);
}

}  // namespace sluice::tokenizer
