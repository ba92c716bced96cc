#include "model/text/weight_loader.h"

#include <gtest/gtest.h>

namespace sluice::model {
namespace {

constexpr uint64_t kGiga = 1'000'000'000;

// A 27B of 16.8 GB that takes 16.4 packed.
bool stays_cached(uint64_t available) {
  return WeightLoader::stays_cached(168 * kGiga / 10, 164 * kGiga / 10, available);
}

TEST(WeightLoader, AFileThatFitsBesideItsWeightsStaysCached) {
  EXPECT_TRUE(stays_cached(60 * kGiga));
  EXPECT_TRUE(stays_cached(388 * kGiga / 10));  // 22.4 left, three quarters of which it takes
}

TEST(WeightLoader, AFileThatDoesNotFitBesideItsWeightsLeavesTheCache) {
  EXPECT_FALSE(stays_cached(387 * kGiga / 10));
  EXPECT_FALSE(stays_cached(24 * kGiga));
}

TEST(WeightLoader, NothingLeftForgetsAll) {
  EXPECT_FALSE(stays_cached(164 * kGiga / 10));
  EXPECT_FALSE(stays_cached(kGiga));
}

}  // namespace
}  // namespace sluice::model
