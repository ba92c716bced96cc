// Against figures worked out by hand from models/sprout/config.json: H 256, MLP 768, three GDN
// layers (4 key heads, 12 value heads, 64 wide, kernel 4), one attention layer (8 heads, 2 of keys
// and values, 64 wide), vocabulary 4096, head tied to the embedding, a draft head of one layer, all
// of it in BF16, which the reference backend keeps as F32.
#include "tools/bench/step_cost.h"

#include <gtest/gtest.h>

#include "tools/bench/loaded_sprout.h"

namespace sluice::tools {
namespace {

// 1280 channels, z, b, a, out; gate, up, down.
constexpr int64_t kMlp = 3 * 768 * 256;
constexpr int64_t kGdnLayer = 1280 * 256 + 768 * 256 + 2 * 12 * 256 + 256 * 768 + kMlp;
// Queries with gates, key, value, out.
constexpr int64_t kAttentionLayer = 1024 * 256 + 2 * 128 * 256 + 512 * 256 + kMlp;
constexpr int64_t kLayers = 3 * kGdnLayer + kAttentionLayer;
constexpr int64_t kHead = 4096 * 256;
constexpr int64_t kDraft = 256 * 512 + kAttentionLayer;

class StepCostOfSprout : public testing::Test {
 protected:
  static ModelCounts count(ops::KvFormat kv) {
    const test::LoadedSprout sprout("ref");
    return count_model(*sprout.binding, *sprout.backend, kv);
  }
};

TEST_F(StepCostOfSprout, CountsEveryWeightOnce) {
  ASSERT_EQ(kLayers, 4'999'168);
  const ModelCounts counts = count(ops::KvFormat::kBF16);
  EXPECT_EQ(counts.layers.floating, kLayers);
  EXPECT_EQ(counts.layers.integer, 0);
  // Norms, convolution, decay, bias: F32.
  EXPECT_EQ(counts.layers.bytes, 4u * (kLayers + 18'056));
  EXPECT_EQ(counts.head.floating, kHead);
  EXPECT_EQ(counts.head.bytes, 4u * kHead);
  EXPECT_EQ(counts.draft.floating, kDraft);
  EXPECT_EQ(counts.draft.bytes, 4u * (kDraft + 1'408));
  EXPECT_EQ(counts.draft_head.bytes, counts.head.bytes);
  EXPECT_EQ(counts.bytes_by_format.size(), 1u);
  EXPECT_EQ(counts.bytes_by_format.at("bf16"), 4u * (kLayers + kHead));
}

TEST_F(StepCostOfSprout, CountsCacheAndState) {
  const ModelCounts counts = count(ops::KvFormat::kBF16);
  EXPECT_EQ(counts.kv_bytes, 2u * 128 * 2);
  EXPECT_EQ(counts.draft_kv_bytes, 2u * 128 * 2);
  EXPECT_EQ(count(ops::KvFormat::kFp8).kv_bytes, 2u * 128);
  EXPECT_EQ(counts.state_bytes, 3u * (12 * 64 * 64 + 1280 * 3) * 4);
  EXPECT_EQ(counts.pending_bytes, 3u * (256 + 768 + 2 * 12 + 1280) * 4);
  EXPECT_EQ(counts.attention_products, 2 * 8 * 64);
  EXPECT_EQ(counts.state_products, 3 * (3 * 12 * 64 * 64 + 1280 * 4));
}

TEST_F(StepCostOfSprout, AnswersOfTwoSequencesWithADraft) {
  const StepCost cost = answer_cost(count(ops::KvFormat::kBF16), 2, 1, 100);
  EXPECT_EQ(cost.read_bytes, 33'386'528u);
  EXPECT_EQ(cost.update_bytes, 2'767'104u);
  EXPECT_EQ(cost.floating, 31'092'736);
  EXPECT_EQ(cost.integer, 0);
}

TEST_F(StepCostOfSprout, APromptInTwoSteps) {
  const StepCost cost = prompt_cost(count(ops::KvFormat::kBF16), 100, 64);
  EXPECT_EQ(cost.read_bytes, 44'364'864u);
  EXPECT_EQ(cost.update_bytes, 2'543'616u);
  EXPECT_EQ(cost.floating, 551'909'376);
}

TEST_F(StepCostOfSprout, ThePackedFormCountsWhereThereIsOne) {
  const test::LoadedSprout sprout("cpu");
  const ModelCounts counts = count_model(*sprout.binding, *sprout.backend, ops::KvFormat::kBF16);
  const auto planned = model::TextModel::weight_bytes(*sprout.binding, *sprout.backend, true);
  // The plan pads each vector to a cache line.
  const uint64_t step = counts.layers.bytes + counts.head.bytes;
  EXPECT_LE(step, planned.text);
  EXPECT_GT(step + 64 * 64, planned.text);
}

TEST(FloorSeconds, TheSlowerOfMemoryAndArithmetic) {
  const MachineSpeed speed = {.read = 1e9, .update = 2e9, .fp32 = 1e9, .int16 = 2e9, .int8 = 8e9};
  const StepCost bytes = {.read_bytes = 1'000'000'000, .update_bytes = 1'000'000'000};
  EXPECT_DOUBLE_EQ(floor_seconds(bytes, speed, ops::ActivationMode::kWide), 1.5);
  StepCost cost = bytes;
  cost.integer = 8'000'000'000;
  EXPECT_DOUBLE_EQ(floor_seconds(cost, speed, ops::ActivationMode::kWide), 2.0);
  EXPECT_DOUBLE_EQ(floor_seconds(cost, speed, ops::ActivationMode::kDigit), 1.5);
  cost.floating = 1'000'000'000;
  EXPECT_DOUBLE_EQ(floor_seconds(cost, speed, ops::ActivationMode::kDigit), 2.0);
  const MachineSpeed plain = {.read = 1e9, .update = 2e9, .fp32 = 1e9};
  EXPECT_DOUBLE_EQ(floor_seconds(cost, plain, ops::ActivationMode::kDigit), 9.0);
}

}  // namespace
}  // namespace sluice::tools
