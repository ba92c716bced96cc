// Products of a step cut into items for shared_items() (parallel.h): each member's part is its
// share of the groups of every product, as the packer split them, in a few pieces a product that
// others may take. Block of rows after block: the activations of one block stay in the third cache
// while all groups are multiplied with them, and weights, which are read in order, come from memory
// again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/cpu/product.h"
#include "ops/backend.h"

namespace sluice::cpu {

// The rows of a step as blocks of about equal length, none longer than kRowBlock: how many, and
// where block 0..row_blocks(rows) begins. Whole tiles of 16 rows but for the last.
int64_t row_blocks(int64_t rows);
int64_t row_block_begin(int64_t rows, int64_t block);

// Outputs [part.first, part.end) of a weight, as in ops::Product; an empty part: all. Of the weight
// only the shape is read.
struct PartOfWeight {
  const PackedView* weight = nullptr;
  ops::Range part = {};
};

// A block of rows times a run of groups of one product. No groups: nothing to do.
struct Piece {
  size_t product = 0;  // its index in the set
  int64_t first_row = 0, last_row = 0;
  int64_t first_group = 0, last_group = 0;
};

// Each group of each product meets each row in one piece.
class Pieces {
 public:
  // `rows` (at least one) rows times all of `set`, which outlives this, for a pool of `members`.
  Pieces(std::span<const PartOfWeight> set, int64_t rows, int members);

  // As many for each member: item i is of the part of member i / (count() / members).
  int64_t count() const { return a_member() * members_; }
  Piece at(int64_t item) const;

 private:
  int64_t a_block() const { return a_product_ * static_cast<int64_t>(set_.size()); }
  int64_t a_member() const { return a_block() * blocks_; }

  std::span<const PartOfWeight> set_;
  int64_t rows_, members_, a_product_ = 1, blocks_ = 1;
};

}  // namespace sluice::cpu
