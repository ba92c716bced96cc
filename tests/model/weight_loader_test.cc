#include "model/text/weight_loader.h"

#include <gtest/gtest.h>

namespace sluice::model {
namespace {

constexpr uint64_t kGiga = 1'000'000'000;

// A 27B of 16.8 GB that takes 16.4 packed.
uint64_t excess(uint64_t available) {
  return WeightLoader::excess_bytes(168 * kGiga / 10, 164 * kGiga / 10, available);
}

TEST(WeightLoader, AFileThatFitsBesideItsWeightsStaysCached) {
  EXPECT_EQ(excess(60 * kGiga), 0u);
  EXPECT_EQ(excess(50 * kGiga), 0u);  // 33.6 left, the half of which the file takes
}

TEST(WeightLoader, AsMuchLeavesTheCacheAsHalfOfTheRestCannotHold) {
  EXPECT_EQ(excess(22 * kGiga), 14 * kGiga);  // 5.6 left, 2.8 for the file
  EXPECT_EQ(excess(40 * kGiga), 5 * kGiga);
}

TEST(WeightLoader, NothingLeftForgetsAll) {
  EXPECT_EQ(excess(164 * kGiga / 10), 168 * kGiga / 10);
  EXPECT_EQ(excess(kGiga), 168 * kGiga / 10);
}

}  // namespace
}  // namespace sluice::model
