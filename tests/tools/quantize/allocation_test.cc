// Formats under a budget: against every possible choice where those can be counted.
#include "tools/quantize/allocation.h"

#include <gtest/gtest.h>

#include <random>

namespace sluice {
namespace {

using quantize::Allocation;
using quantize::AllocationItem;

std::vector<AllocationItem> random_items(std::mt19937& random) {
  std::uniform_int_distribution<int> count(1, 5), options(1, 4), bytes(1, 40), loss(0, 100);
  std::vector<AllocationItem> items(static_cast<size_t>(count(random)));
  for (AllocationItem& item : items) {
    item.resize(static_cast<size_t>(options(random)));
    for (auto& option : item)
      option = {static_cast<uint64_t>(bytes(random)), static_cast<double>(loss(random)) / 8};
  }
  return items;
}

// Calls `use` with bytes and loss of every choice.
template <typename Use>
void every_choice(const std::vector<AllocationItem>& items, const Use& use) {
  std::vector<size_t> chosen(items.size(), 0);
  while (true) {
    uint64_t bytes = 0;
    double loss = 0;
    for (size_t i = 0; i < items.size(); ++i) {
      bytes += items[i][chosen[i]].bytes;
      loss += items[i][chosen[i]].loss;
    }
    use(bytes, loss);
    size_t i = 0;
    while (i < items.size() && ++chosen[i] == items[i].size()) chosen[i++] = 0;
    if (i == items.size()) return;
  }
}

void expect_sums(const std::vector<AllocationItem>& items, const Allocation& result) {
  ASSERT_EQ(result.chosen.size(), items.size());
  uint64_t bytes = 0;
  double loss = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    bytes += items[i].at(result.chosen[i]).bytes;
    loss += items[i].at(result.chosen[i]).loss;
  }
  EXPECT_EQ(result.bytes, bytes);
  EXPECT_EQ(result.loss, loss);
}

TEST(Allocation, OfBytesIsWithinItsBoundOfTheBest) {
  std::mt19937 random(5);
  size_t best_found = 0, all = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto items = random_items(random);
    const uint64_t budget = std::uniform_int_distribution<uint64_t>(0, 180)(random);
    std::optional<double> best;
    every_choice(items, [&](uint64_t bytes, double loss) {
      if (bytes <= budget && (!best || loss < *best)) best = loss;
    });
    const auto result = quantize::allocate_bytes(items, budget);
    ASSERT_EQ(result.has_value(), best.has_value());
    EXPECT_EQ(result.has_value(), quantize::least_bytes(items) <= budget);
    if (!result) continue;
    expect_sums(items, *result);
    EXPECT_LE(result->bytes, budget);
    EXPECT_GE(result->loss, *best);
    EXPECT_LE(result->loss - result->gap, *best + 1e-9);
    ++all;
    best_found += result->loss <= *best ? 1 : 0;
  }
  EXPECT_GT(best_found * 10, all * 7);  // with a handful of items, where whole steps weigh most
}

TEST(Allocation, OfLossIsWithinItsBoundOfTheSmallest) {
  std::mt19937 random(6);
  for (int round = 0; round < 2000; ++round) {
    const auto items = random_items(random);
    const double most = std::uniform_int_distribution<int>(0, 300)(random) / 8.0;
    std::optional<uint64_t> smallest;
    every_choice(items, [&](uint64_t bytes, double loss) {
      if (loss <= most && (!smallest || bytes < *smallest)) smallest = bytes;
    });
    const auto result = quantize::allocate_loss(items, most);
    ASSERT_EQ(result.has_value(), smallest.has_value());
    EXPECT_EQ(result.has_value(), quantize::least_loss(items) <= most);
    if (!result) continue;
    expect_sums(items, *result);
    EXPECT_LE(result->loss, most);
    EXPECT_GE(result->bytes, *smallest);
    EXPECT_LE(static_cast<double>(result->bytes) - result->gap,
              static_cast<double>(*smallest) + 1e-6);
  }
}

// The bytes go where they save most, and what is left over goes to what still fits.
TEST(Allocation, SpendsWhereItPays) {
  const std::vector<AllocationItem> items = {
      {{100, 8}, {150, 1}, {200, 0.9}}, {{100, 4}, {150, 2}, {200, 0}}, {{10, 0.5}, {20, 0.4}}};
  const auto tight = quantize::allocate_bytes(items, 270);
  ASSERT_TRUE(tight.has_value());
  EXPECT_EQ(tight->chosen, (std::vector<size_t>{1, 0, 1}));
  const auto roomy = quantize::allocate_bytes(items, 10'000);
  ASSERT_TRUE(roomy.has_value());
  EXPECT_EQ(roomy->chosen, (std::vector<size_t>{2, 2, 1}));
  EXPECT_EQ(roomy->gap, 0);
  EXPECT_FALSE(quantize::allocate_bytes(items, 209).has_value());
}

}  // namespace
}  // namespace sluice
