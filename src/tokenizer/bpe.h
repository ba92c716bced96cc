// Byte pair encoding of one piece: repeatedly join the leftmost pair of the lowest rank.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/merge_table.h"

namespace sluice::tokenizer {

// Where a piece is too long for the plain loop, whose work is the square of the length.
inline constexpr size_t kPlainMergeLimit = 48;

// Operations on the merge queue, so that a test can bound them.
struct MergeWork {
  uint64_t queue_operations = 0;
};

// Appends the ids of `piece` (any bytes, below 2 GiB). byte_ids has the token of each single byte.
// Pieces up to kPlainMergeLimit bytes are searched plainly, longer ones through a priority queue: n
// log n.
void encode_piece(const MergeTable& merges, const std::array<TokenId, 256>& byte_ids,
                  std::string_view piece, std::vector<TokenId>& out, MergeWork* work = nullptr);

}  // namespace sluice::tokenizer
