// How the products of a step are cut: every row meets every group once, in pieces of a fit size.
#include "backend/cpu/pieces.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <span>
#include <vector>

namespace sluice::cpu {
namespace {

constexpr int64_t kTileRows = 16;

// As of 4-bit codes, here with 5,120 columns; with one unit a group small ones stay whole.
PackedView weight_of(int64_t groups, int64_t units = 20) {
  PackedView weight;
  weight.unit.bytes = 2304;
  weight.units_per_group = units;
  weight.groups = groups;
  weight.rows = groups * kGroupRows;
  return weight;
}

std::vector<int64_t> numbers_of_groups() {
  std::vector<int64_t> all;
  for (int64_t groups = 1; groups <= 40; ++groups) all.push_back(groups);
  for (const int64_t groups : {63, 64, 65, 127, 129, 170, 255, 256, 300, 511, 513, 640, 699, 700})
    all.push_back(groups);
  return all;
}

constexpr int64_t kRows[] = {1,   2,   15,  16,  17,  63,  64,  65,  127, 128, 129,
                             192, 255, 256, 257, 383, 384, 385, 512, 513, 599, 600};
constexpr int kMembers[] = {1, 2, 3, 4, 7, 16, 31, 64};

// One way to cut: how often each tile of 16 rows meets each group, and what the pieces look like.
class Cut {
 public:
  Cut(std::span<const PartOfWeight> set, int64_t rows, int members)
      : set_(set), rows_(rows), tiles_((rows + kTileRows - 1) / kTileRows), members_(members) {
    for (const PartOfWeight& product : set) {
      met_.emplace_back(static_cast<size_t>(tiles_ * product.weight->groups));
    }
  }

  void check() {
    const Pieces pieces(set_, rows_, static_cast<int>(members_));
    ASSERT_EQ(pieces.count() % members_, 0);
    for (int64_t item = 0; item < pieces.count(); ++item) {
      const int64_t member = item / (pieces.count() / members_);
      ASSERT_NO_FATAL_FAILURE(add(pieces.at(item), member)) << "item " << item;
    }
    for (size_t product = 0; product < set_.size(); ++product) {
      ASSERT_NO_FATAL_FAILURE(expect_each_once(product)) << "product " << product;
    }
  }

 private:
  // The groups of a product that are to be made.
  static ops::Range groups_of(const PartOfWeight& product) {
    if (product.part.empty()) return {0, product.weight->groups};
    return {product.part.first / kGroupRows, (product.part.end + kGroupRows - 1) / kGroupRows};
  }

  void add(const Piece& piece, int64_t member) {
    ASSERT_LT(piece.product, set_.size());
    const ops::Range groups = groups_of(set_[piece.product]);
    const int64_t begin = groups.first + groups.count() * member / members_,
                  end = groups.first + groups.count() * (member + 1) / members_;
    // In the member's share as the packer split it: the rest is in another one's memory.
    ASSERT_GE(piece.first_group, begin);
    ASSERT_LE(piece.first_group, piece.last_group);
    ASSERT_LE(piece.last_group, end);
    ASSERT_EQ((piece.first_group - begin) % 2, 0);
    ASSERT_LT(piece.first_row, piece.last_row);
    ASSERT_LE(piece.last_row - piece.first_row, kRowBlock);
    ASSERT_EQ(piece.first_row % kTileRows, 0);
    ASSERT_TRUE(piece.last_row % kTileRows == 0 || piece.last_row == rows_) << piece.last_row;
    std::vector<uint8_t>& met = met_[piece.product];
    const int64_t stride = set_[piece.product].weight->groups;
    for (int64_t tile = piece.first_row / kTileRows; tile * kTileRows < piece.last_row; ++tile) {
      for (int64_t group = piece.first_group; group < piece.last_group; ++group)
        ++met[static_cast<size_t>(tile * stride + group)];
    }
  }

  void expect_each_once(size_t product) const {
    const ops::Range groups = groups_of(set_[product]);
    const int64_t stride = set_[product].weight->groups;
    for (int64_t at = 0; at < tiles_ * stride; ++at) {
      const int64_t group = at % stride;
      const int times = group >= groups.first && group < groups.end ? 1 : 0;
      ASSERT_EQ(met_[product][static_cast<size_t>(at)], times)
          << "group " << group << ", rows from " << at / stride * kTileRows;
    }
  }

  std::span<const PartOfWeight> set_;
  int64_t rows_, tiles_, members_;
  std::vector<std::vector<uint8_t>> met_;  // [product][tiles][groups]
};

void expect_cut(std::initializer_list<PartOfWeight> set) {
  for (const int64_t rows : kRows) {
    for (const int members : kMembers) {
      ASSERT_NO_FATAL_FAILURE(Cut({set.begin(), set.size()}, rows, members).check())
          << rows << " rows, " << members << " members";
    }
  }
}

TEST(Pieces, EveryRowMeetsEveryGroupOnce) {
  for (const int64_t groups : numbers_of_groups()) {
    for (const int64_t units : {1, 20}) {
      const PackedView weight = weight_of(groups, units);
      ASSERT_NO_FATAL_FAILURE(expect_cut({{&weight, {}}})) << groups << " groups";
    }
  }
}

TEST(Pieces, ProductsOfOneSetOfDifferentSizes) {
  const PackedView large = weight_of(700), middle = weight_of(65), small = weight_of(3, 1);
  expect_cut({{&large, {}}, {&middle, {}}, {&small, {}}});
  expect_cut({{&small, {}}, {&small, {}}, {&large, {}}});
}

TEST(Pieces, OnlyThePartThatIsAskedFor) {
  const PackedView large = weight_of(700);
  PackedView middle = weight_of(65);
  middle.rows -= 9;  // a last group that is not full
  for (const ops::Range part : {ops::Range{0, 64}, {64, 192}, {640, 704}, {64, middle.rows}}) {
    SCOPED_TRACE(part.first);
    expect_cut({{&middle, part}});
    expect_cut({{&large, {}}, {&middle, part}, {&large, part}});
  }
}

// What of the activations one block reads stays in the third cache.
TEST(Pieces, BlocksOfRowsOneAfterTheOther) {
  const PackedView weight = weight_of(170);
  const PartOfWeight set[] = {{&weight, {}}, {&weight, {}}};
  const Pieces pieces(set, 600, 2);
  for (int64_t item = 0; item < pieces.count(); ++item) {
    if (item % (pieces.count() / 2) == 0) continue;
    EXPECT_GE(pieces.at(item).first_row, pieces.at(item - 1).first_row);
  }
}

// Of a member's share of a weight, with one block of rows.
int64_t pieces_a_member(const PackedView& weight, int64_t rows, int members) {
  const PartOfWeight set[] = {{&weight, {}}};
  return Pieces(set, rows, members).count() / members / row_blocks(rows);
}

TEST(Pieces, OfManyRowsHaveEightGroupsUnlessTheyAreFour) {
  for (const int64_t groups : numbers_of_groups()) {
    const PackedView weight = weight_of(groups);
    const PartOfWeight set[] = {{&weight, {}}};
    for (const int64_t rows : kRows) {
      if (rows < 64) continue;
      for (const int members : kMembers) {
        if (pieces_a_member(weight, rows, members) <= 4) continue;
        const Pieces pieces(set, rows, members);
        for (int64_t item = 0; item < pieces.count(); ++item) {
          const Piece piece = pieces.at(item);
          ASSERT_GE(piece.last_group - piece.first_group, 8)
              << groups << " groups, " << rows << " rows, " << members << " members";
        }
      }
    }
  }
}

// Enough for others to help, and no more than their reading is worth.
TEST(Pieces, AsManyAsAreWorthTaking) {
  const PackedView large = weight_of(700), small = weight_of(4, 1);
  EXPECT_EQ(pieces_a_member(large, 1, 1), 16);
  EXPECT_EQ(pieces_a_member(large, 512, 1), 16);
  EXPECT_EQ(pieces_a_member(large, 512, 16), 5);
  EXPECT_EQ(pieces_a_member(large, 63, 64), 16);
  EXPECT_EQ(pieces_a_member(large, 64, 64), 4);
  EXPECT_EQ(pieces_a_member(weight_of(11), 256, 2), 4);
  EXPECT_EQ(pieces_a_member(weight_of(11), 1, 2), 3);
  EXPECT_EQ(pieces_a_member(small, 1, 1), 1);
  EXPECT_EQ(pieces_a_member(small, 600, 1), 1);
}

TEST(RowBlocks, AreOfAboutEqualLength) {
  for (int64_t rows = 1; rows <= 600; ++rows) {
    const int64_t blocks = row_blocks(rows);
    EXPECT_EQ(blocks, (rows + 127) / 128);
    ASSERT_EQ(row_block_begin(rows, 0), 0);
    ASSERT_EQ(row_block_begin(rows, blocks), rows);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t begin = row_block_begin(rows, block),
                    length = row_block_begin(rows, block + 1) - begin;
      ASSERT_EQ(begin % kTileRows, 0) << rows;
      ASSERT_LE(length, kRowBlock) << rows;
      ASSERT_LT(std::abs(length * blocks - rows), kTileRows * blocks) << rows;
      ASSERT_GT(length, 0) << rows;
    }
  }
}

}  // namespace
}  // namespace sluice::cpu
