#include "runtime/thought/thought_control.h"

#include <gtest/gtest.h>

namespace sluice::runtime {
namespace {

constexpr TokenId kOpen = 900, kClose = 901, kMessage = 10, kEmptyLine = 11;

ThoughtOptions options(int64_t budget) {
  ThoughtOptions result;
  result.open = kOpen;
  result.close = kClose;
  result.closing = {kMessage, kClose, kEmptyLine};
  result.budget = budget;
  return result;
}

// Feeds what a model would say (token 1 unless forced) and returns the first `count` tokens.
std::vector<TokenId> answer(ThoughtControl& control, int count, std::string_view bytes = "x") {
  std::vector<TokenId> tokens;
  for (int i = 0; i < count; ++i) {
    const TokenId token = control.forced().value_or(1);
    control.push(token, bytes);
    tokens.push_back(token);
  }
  return tokens;
}

TEST(ThoughtControl, ForcesTheCloserAtTheBudget) {
  ThoughtControl control(options(3), {5, kOpen}, 100);
  EXPECT_TRUE(control.in_thought());
  EXPECT_EQ(answer(control, 8),
            (std::vector<TokenId>{1, 1, 1, kMessage, kClose, kEmptyLine, 1, 1}));
  EXPECT_FALSE(control.in_thought());
  EXPECT_EQ(control.stop_reason(), "budget");
}

TEST(ThoughtControl, BudgetZeroStartsWithTheMessage) {
  ThoughtControl control(options(0), {kOpen}, 100);
  EXPECT_EQ(answer(control, 3), (std::vector<TokenId>{kMessage, kClose, kEmptyLine}));
}

TEST(ThoughtControl, CountsWhatTheOpenBlockHoldsAlready) {
  ThoughtControl control(options(4), {kOpen, 3, kClose, kOpen, 7, 7, 7}, 100);
  EXPECT_EQ(answer(control, 3), (std::vector<TokenId>{1, kMessage, kClose}));
}

TEST(ThoughtControl, NothingOutsideAThought) {
  ThoughtControl closed(options(2), {kOpen, 3, kClose}, 100);
  EXPECT_EQ(answer(closed, 5), (std::vector<TokenId>(5, 1)));
  ThoughtControl unlimited(options(-1), {kOpen}, 100);
  unlimited.push(1, "x");
  EXPECT_FALSE(unlimited.stop_reason().has_value());
}

TEST(ThoughtControl, TheModelsOwnCloserEndsIt) {
  ThoughtControl control(options(3), {kOpen}, 100);
  control.push(1, "x");
  control.push(kClose, "</think>");
  EXPECT_EQ(answer(control, 5), (std::vector<TokenId>(5, 1)));
  EXPECT_FALSE(control.stop_reason().has_value());
}

TEST(ThoughtControl, WaitsForTheEndOfACharacter) {
  ThoughtControl control(options(1), {kOpen}, 100);
  control.push(1, "\xe6\xbc");  // two of three bytes
  EXPECT_FALSE(control.forced().has_value());
  control.push(2, "\xa2");
  EXPECT_EQ(control.forced(), kMessage);
}

TEST(ThoughtControl, ReserveLeavesRoomForTheAnswer) {
  ThoughtOptions reserve = options(-1);
  reserve.reserve_answer_tokens = 5;
  ThoughtControl control(reserve, {kOpen}, 20);
  const auto tokens = answer(control, 20);
  const auto closer = std::find(tokens.begin(), tokens.end(), kClose) - tokens.begin();
  EXPECT_EQ(closer, 20 - 5 - 2);  // closer and empty line, then five tokens of answer
  EXPECT_EQ(control.stop_reason(), "reserve");
}

TEST(ThoughtControl, ALoopEndsInAnAnswer) {
  ThoughtControl control(options(-1), {kOpen}, 100000);
  const auto tokens = answer(control, 600);
  const auto closer = std::find(tokens.begin(), tokens.end(), kClose);
  ASSERT_NE(closer, tokens.end());
  EXPECT_EQ(closer - tokens.begin(), 256 + 128 + 1);
  EXPECT_EQ(control.stop_reason(), "loop");
}

}  // namespace
}  // namespace sluice::runtime
