#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "tokenizer/byte_alphabet.h"

namespace sluice::tokenizer {
namespace {

// A vocabulary over the letters a to h: byte b has id b, merges are random pairs of what exists.
struct RandomMerges {
  MergeTable table;
  std::array<TokenId, 256> byte_ids{};

  explicit RandomMerges(uint32_t seed, size_t count = 120) {
    std::mt19937 random(seed);
    for (size_t i = 0; i < byte_ids.size(); ++i) byte_ids[i] = static_cast<TokenId>(i);
    std::vector<TokenId> known = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'};
    table.reserve(count);
    TokenId next = 256;
    for (size_t i = 0; i < count;) {
      const TokenId left = known[random() % known.size()], right = known[random() % known.size()];
      if (!table.add(left, right, next)) continue;
      known.push_back(next++);
      ++i;
    }
  }
};

// The definition, step by step.
std::vector<TokenId> by_definition(const RandomMerges& merges, std::string_view piece) {
  std::vector<TokenId> ids(piece.begin(), piece.end());
  while (true) {
    size_t best = 0;
    uint32_t best_rank = MergeTable::kNoMerge;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const uint32_t rank = merges.table.rank(ids[i], ids[i + 1]);
      if (rank < best_rank) {
        best = i;
        best_rank = rank;
      }
    }
    if (best_rank == MergeTable::kNoMerge) return ids;
    ids[best] = merges.table.merged(best_rank);
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

TEST(Bpe, ShortAndLongPiecesFollowTheDefinition) {
  std::mt19937 random(3);
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const RandomMerges merges(seed);
    for (int round = 0; round < 60; ++round) {
      std::string piece(1 + random() % (4 * kPlainMergeLimit), 'a');
      const size_t letters = 1 + random() % 8;
      for (char& c : piece) c = static_cast<char>('a' + random() % letters);
      std::vector<TokenId> ids;
      encode_piece(merges.table, merges.byte_ids, piece, ids);
      ASSERT_EQ(ids, by_definition(merges, piece)) << piece;
    }
  }
}

TEST(Bpe, LengthsAroundTheLimit) {
  const RandomMerges merges(99);
  for (size_t length = 0; length <= 2 * kPlainMergeLimit; ++length) {
    std::string piece(length, 'a');
    for (size_t i = 0; i < length; i += 3) piece[i] = 'b';
    std::vector<TokenId> ids = {-7};  // what is there stays
    encode_piece(merges.table, merges.byte_ids, piece, ids);
    ASSERT_EQ(ids.front(), -7);
    ids.erase(ids.begin());
    ASSERT_EQ(ids, by_definition(merges, piece)) << length;
  }
}

// a, aa, aaaa, ...: everything merges, log n times.
TEST(Bpe, QueueWorkIsLinearInOneHugePiece) {
  MergeTable table;
  std::array<TokenId, 256> byte_ids{};
  byte_ids['a'] = 1;
  table.reserve(30);
  for (TokenId id = 1; id <= 30; ++id) ASSERT_TRUE(table.add(id, id, id + 1));
  for (const size_t length : {size_t{1} << 10, size_t{1} << 15, (size_t{1} << 20) - 1}) {
    MergeWork work;
    std::vector<TokenId> ids;
    encode_piece(table, byte_ids, std::string(length, 'a'), ids, &work);
    // n - 1 candidates at the start, at most two new ones per merge, fewer than n merges; each
    // comes out once.
    EXPECT_LT(work.queue_operations, 6 * length);
    EXPECT_GT(work.queue_operations, length);
    EXPECT_EQ(ids.size(), static_cast<size_t>(std::popcount(length)));
  }
}

TEST(MergeTable, RefusesASecondMergeOfAPair) {
  MergeTable table;
  EXPECT_EQ(table.rank(0, 0), MergeTable::kNoMerge);
  table.reserve(2);
  EXPECT_TRUE(table.add(1, 2, 3));
  EXPECT_FALSE(table.add(1, 2, 4));
  EXPECT_TRUE(table.add(kMaxTokenId, kMaxTokenId, 5));
  EXPECT_EQ(table.rank(1, 2), 0u);
  EXPECT_EQ(table.merged(0), 3);
  EXPECT_EQ(table.rank(2, 1), MergeTable::kNoMerge);
  EXPECT_EQ(table.merged(table.rank(kMaxTokenId, kMaxTokenId)), 5);
}

TEST(ByteAlphabet, RoundTripOfEveryByte) {
  EXPECT_EQ(alphabet_character(' '), U'\u0120');
  EXPECT_EQ(alphabet_character('A'), U'A');
  EXPECT_EQ(alphabet_character(0xAD), U'\u0143');
  std::string out;
  EXPECT_TRUE(append_token_bytes("\u0120\u00C3\u00A9", out));
  EXPECT_EQ(out, " \u00E9");
  // A space is not in the alphabet: the string stands for itself, all of it.
  EXPECT_FALSE(append_token_bytes("\u0120 x", out));
  EXPECT_EQ(out, " \u00E9\u0120 x");
}

}  // namespace
}  // namespace sluice::tokenizer
