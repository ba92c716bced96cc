#include "runtime/thought/loop_detector.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice::runtime {
namespace {

// How many tokens until the loop is confirmed, or -1.
int64_t confirmed_after(const std::vector<TokenId>& tokens) {
  LoopDetector detector({});
  for (size_t i = 0; i < tokens.size(); ++i) {
    detector.push(tokens[i]);
    if (detector.confirmed()) return static_cast<int64_t>(i) + 1;
  }
  return -1;
}

std::vector<TokenId> repeat(const std::vector<TokenId>& period, size_t length) {
  std::vector<TokenId> tokens;
  while (tokens.size() < length) tokens.insert(tokens.end(), period.begin(), period.end());
  return tokens;
}

std::vector<TokenId> noise(size_t length, unsigned seed, int vocabulary) {
  std::mt19937 random(seed);
  std::vector<TokenId> tokens(length);
  for (TokenId& token : tokens)
    token = static_cast<TokenId>(random() % static_cast<unsigned>(vocabulary));
  return tokens;
}

TEST(LoopDetector, ShortPeriodNeedsLengthAndConfirmation) {
  EXPECT_EQ(confirmed_after(repeat({1}, 1000)), 256 + 128);
  EXPECT_EQ(confirmed_after(repeat({1, 2, 3}, 1000)), 256 + 128);
}

TEST(LoopDetector, LongPeriodNeedsFourRepeatsAndOneMore) {
  const auto period = noise(500, 3, 50000);
  EXPECT_EQ(confirmed_after(repeat(period, 5000)), 4 * 500 + 500);
}

TEST(LoopDetector, GrowingCounterIsANearLoop) {
  // "step N: try again ..." with a changing number: 40 fixed tokens, then two of the counter.
  std::vector<TokenId> tokens;
  for (int i = 0; i < 300; ++i) {
    for (int t = 0; t < 40; ++t) tokens.push_back(100 + t);
    tokens.push_back(1000 + i);
    tokens.push_back(5000 + i % 7);
  }
  const int64_t at = confirmed_after(tokens);
  EXPECT_GT(at, 2048);
  EXPECT_LT(at, 4096);
}

TEST(LoopDetector, NoAlarmOnNoiseOrOnABrokenLoop) {
  EXPECT_EQ(confirmed_after(noise(20000, 1, 5000)), -1);
  auto tokens = repeat({1, 2, 3, 4}, 300);  // an alarm, but it stops before it is confirmed
  const auto rest = noise(3000, 2, 5000);
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  EXPECT_EQ(confirmed_after(tokens), -1);
}

TEST(LoopDetector, ResetForgets) {
  LoopDetector detector({});
  for (int i = 0; i < 300; ++i) detector.push(1);
  EXPECT_TRUE(detector.alarm());
  detector.reset();
  EXPECT_FALSE(detector.alarm());
  for (int i = 0; i < 200; ++i) detector.push(1);
  EXPECT_FALSE(detector.alarm());
}

}  // namespace
}  // namespace sluice::runtime
