// The merges of a byte-level BPE vocabulary: which two tokens join, in which order of preference,
// to what.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace sluice::tokenizer {

// Ids and ranks share one 64-bit word in MergeTable. The family's largest vocabulary has 248,320
// rows.
inline constexpr TokenId kMaxTokenId = (1 << 20) - 1;
inline constexpr size_t kMaxMerges = (size_t{1} << 24) - 1;

class MergeTable {
 public:
  static constexpr uint32_t kNoMerge = std::numeric_limits<uint32_t>::max();

  // Room for `count` merges (at most kMaxMerges).
  void reserve(size_t count);
  // Adds the merge of the next rank (0, 1, ...): `left` and `right` become `merged`. False if the
  // pair has one.
  bool add(TokenId left, TokenId right, TokenId merged);

  // Rank of a pair (lower merges first) or kNoMerge.
  uint32_t rank(TokenId left, TokenId right) const {
    const uint64_t key = pair_key(left, right);
    for (size_t slot = home(key);; slot = (slot + 1) & mask_) {
      const uint64_t entry = slots_[slot];
      if (entry == kEmpty) return kNoMerge;
      if (entry >> kRankBits == key) return static_cast<uint32_t>(entry & kRankMask);
    }
  }
  TokenId merged(uint32_t rank) const { return merged_[rank]; }

  size_t memory_bytes() const;  // beyond the object itself

 private:
  static constexpr unsigned kIdBits = 20, kRankBits = 24;
  static constexpr uint64_t kRankMask = (uint64_t{1} << kRankBits) - 1;
  static constexpr uint64_t kEmpty = ~uint64_t{0};  // no merge has the rank of all ones

  static uint64_t pair_key(TokenId left, TokenId right) {
    return static_cast<uint64_t>(left) << kIdBits | static_cast<uint64_t>(right);
  }
  size_t home(uint64_t key) const {
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> shift_);
  }

  std::vector<uint64_t> slots_ =
      std::vector<uint64_t>(2, kEmpty);  // open addressing, at most half full
  std::vector<TokenId> merged_;          // by rank
  size_t mask_ = 1;
  unsigned shift_ = 63;
};

}  // namespace sluice::tokenizer
