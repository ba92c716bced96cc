#include "backend/cpu/pieces.h"

#include <algorithm>

namespace sluice::cpu {
namespace {

// A piece reads at least so many bytes, or does the work of reading them with more rows: some four
// microseconds, against which taking it costs nothing.
constexpr size_t kLeastBytes = 64 * 1024;
constexpr int64_t kMostPieces = 16;  // of a member's share of a product
// Of many rows, whose activations fill the second cache, it has enough groups to use them again;
// but for a few pieces, because cores differ in speed.
constexpr int64_t kManyRows = 64, kLeastGroups = 8, kFewestPieces = 4;

}  // namespace

int64_t row_blocks(int64_t rows) { return (rows + kRowBlock - 1) / kRowBlock; }

int64_t row_block_begin(int64_t rows, int64_t block) {
  const int64_t begin = (rows * block / row_blocks(rows) + 15) / 16 * 16;
  return std::min(begin, rows);
}

Pieces::Pieces(std::span<const PartOfWeight> set, int64_t rows, int members)
    : set_(set), rows_(rows), members_(members), blocks_(row_blocks(rows)) {
  size_t bytes = 0;
  int64_t groups = 0;
  for (const auto& [weight, part] : set) {
    groups = std::max(groups, weight->groups);
    bytes = std::max(
        bytes, static_cast<size_t>(weight->groups * weight->units_per_group) * weight->unit.bytes);
  }
  const auto pieces = static_cast<int64_t>(bytes / kLeastBytes) * rows / members;
  const int64_t most =
      rows < kManyRows ? kMostPieces
                       : std::clamp(groups / members / kLeastGroups, kFewestPieces, kMostPieces);
  a_product_ = std::clamp<int64_t>(pieces, 1, most);
}

Piece Pieces::at(int64_t item) const {
  const int64_t member = item / a_member(), block = item % a_member() / a_block(),
                piece = item % a_block(), index = piece % a_product_;
  const auto product = static_cast<size_t>(piece / a_product_);
  const auto& [weight, part] = set_[product];
  const bool all = part.empty();
  const int64_t first = all ? 0 : part.first / kGroupRows,
                last = all ? weight->groups : (part.end + kGroupRows - 1) / kGroupRows,
                begin = first + (last - first) * member / members_,
                groups = first + (last - first) * (member + 1) / members_ - begin;
  // Even numbers of groups: kernels multiply two together.
  const auto edge = [&](int64_t at) {
    return at == a_product_ ? begin + groups : begin + groups * at / a_product_ / 2 * 2;
  };
  return {product, row_block_begin(rows_, block), row_block_begin(rows_, block + 1), edge(index),
          edge(index + 1)};
}

}  // namespace sluice::cpu
