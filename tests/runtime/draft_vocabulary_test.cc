#include "runtime/spec/draft_vocabulary.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::runtime {
namespace {

constexpr int64_t kVocabulary = 248320, kPiece = 16384, kLast = 15 * kPiece;
constexpr double kShare = 0.19;  // a bar of 2.1 % a piece

std::vector<ops::Range> ranges_of(const DraftVocabulary& vocabulary) {
  return {vocabulary.ranges().begin(), vocabulary.ranges().end()};
}

void expect_ranges(const DraftVocabulary& vocabulary, const std::vector<ops::Range>& expected) {
  const auto ranges = ranges_of(vocabulary);
  ASSERT_EQ(ranges.size(), expected.size());
  for (size_t i = 0; i < ranges.size(); ++i) {
    EXPECT_EQ(ranges[i].first, expected[i].first) << i;
    EXPECT_EQ(ranges[i].end, expected[i].end) << i;
  }
}

TEST(DraftVocabulary, FixedOnesNeverMove) {
  DraftVocabulary all(kVocabulary, kShare, DraftVocabulary::kAll);
  DraftVocabulary first(kVocabulary, kShare, 65530), more(1000, kShare, 5000);
  for (DraftVocabulary* vocabulary : {&all, &first, &more}) {
    for (int i = 0; i < 2000; ++i) vocabulary->on_answer(7);
    vocabulary->on_prompt(std::vector<TokenId>(5000, 7));
  }
  expect_ranges(all, {});
  EXPECT_EQ(all.rows(), kVocabulary);
  expect_ranges(first, {{0, 65536}});
  EXPECT_EQ(first.rows(), 65536);
  expect_ranges(more, {});
  EXPECT_EQ(more.rows(), 1000);
}

TEST(DraftVocabulary, AllUntilEnoughIsSeen) {
  DraftVocabulary vocabulary(kVocabulary, kShare, DraftVocabulary::kThatPay);
  expect_ranges(vocabulary, {});
  // The belief in a piece, twice its bar with the weight of 512, lasts for as much again.
  for (int i = 0; i < 64; ++i) vocabulary.on_answer(5);
  EXPECT_EQ(vocabulary.rows(), kVocabulary);
  vocabulary.on_answer(5);
  expect_ranges(vocabulary, {{0, kPiece}});
  EXPECT_EQ(vocabulary.rows(), kPiece);
}

TEST(DraftVocabulary, AnAnswerWeighsAsEightPrompts) {
  DraftVocabulary vocabulary(kVocabulary, kShare, DraftVocabulary::kThatPay);
  vocabulary.on_prompt(std::vector<TokenId>(512, 5));
  EXPECT_EQ(vocabulary.rows(), kVocabulary);
  vocabulary.on_prompt(std::vector<TokenId>(8, 5));
  EXPECT_EQ(vocabulary.rows(), kPiece);
}

TEST(DraftVocabulary, PiecesAreJoinedAndComeBack) {
  DraftVocabulary vocabulary(kVocabulary, kShare, DraftVocabulary::kThatPay);
  const std::vector<TokenId> used = {3, kPiece, 4 * kPiece, 5 * kPiece - 1, kVocabulary - 1};
  for (int i = 0; i < 400; ++i) vocabulary.on_answer(used[static_cast<size_t>(i) % used.size()]);
  expect_ranges(vocabulary, {{0, 2 * kPiece}, {4 * kPiece, 5 * kPiece}, {kLast, kVocabulary}});
  EXPECT_EQ(vocabulary.rows(), 3 * kPiece + kVocabulary - kLast);
  // Another subject: what was used is forgotten, and the new is there soon.
  int needed = 0;
  for (; vocabulary.ranges().size() == 3 && needed < 100; ++needed)
    vocabulary.on_answer(9 * kPiece);
  EXPECT_LT(needed, 30);
  for (int i = 0; i < 4000; ++i) vocabulary.on_answer(9 * kPiece);
  expect_ranges(vocabulary, {{9 * kPiece, 10 * kPiece}});
}

// A piece pays where its share of tokens is above 1.7 times its share of the step's time.
TEST(DraftVocabulary, TheBarFollowsTheHeadsShare) {
  const auto rows_with = [](double head_share, int rare_of) {
    DraftVocabulary vocabulary(kVocabulary, head_share, DraftVocabulary::kThatPay);
    for (int i = 0; i < 100000; ++i) vocabulary.on_answer(i % rare_of == 0 ? kPiece : 0);
    return vocabulary.rows();
  };
  EXPECT_EQ(rows_with(0.19, 40), 2 * kPiece);  // 2.5 % of the tokens, bar 2.1 %
  EXPECT_EQ(rows_with(0.50, 30), kPiece);      // 3.3 %, bar 5.6 %
  EXPECT_EQ(rows_with(0.06, 90), 2 * kPiece);  // 1.1 % of the tokens, bar 0.7 %
  EXPECT_EQ(rows_with(0.19, 200), kPiece);     // 0.5 %, bar 2.1 %
}

TEST(DraftVocabulary, SmallOnesHavePiecesOfTheGrid) {
  DraftVocabulary vocabulary(296, kShare, DraftVocabulary::kThatPay);
  for (int i = 0; i < 400; ++i) vocabulary.on_answer(i % 2 == 0 ? 70 : 295);
  expect_ranges(vocabulary, {{64, 128}, {256, 296}});
}

}  // namespace
}  // namespace sluice::runtime
