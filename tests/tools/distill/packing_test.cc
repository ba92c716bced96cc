// Samples side by side compute what each computes alone, and get the same gradients.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "model/rotary.h"
#include "tools/distill/network.h"

namespace sluice::test {
namespace {

using distill::Batch;
using distill::Network;
using distill::Sample;

constexpr int64_t kDraftSteps = 3;
const std::vector<double> kDraftWeights{0.5, 0.3, 0.2};

class Packing : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.layers = 4, config_.hidden = 32, config_.intermediate = 48, config_.vocabulary = 61;
    config_.query_heads = 4, config_.kv_heads = 2, config_.head_dim = 16;
    config_.gdn_key_heads = 2, config_.gdn_value_heads = 6;
    config_.gdn_key_dim = 8, config_.gdn_value_dim = 12;
    using enum model::LayerType;
    config_.layer_types = {kLinearAttention, kFullAttention, kLinearAttention, kFullAttention};
    config_.tied = false, config_.mtp_layers = 1, config_.context = 512;
    auto rotary = model::make_rotary_table({.theta = 1e6, .dims = 8, .sections = {2, 1, 1}});
    ASSERT_TRUE(rotary.ok()) << rotary.error().message();
    config_.rotary = *std::move(rotary);
    parameters_ = distill::make_parameters(config_, {.seed = 5, .deviation = 0.2});
    for (distill::Parameter& parameter : parameters_.all) {
      parameter.value = parameter.value.detach().to(torch::kDouble).set_requires_grad(true);
      leaves_.push_back(parameter.value);
    }
    // One token, shorter than the convolution, at and around a chunk's end, several chunks.
    for (const int64_t length : {70, 1, 3, 64, 2, 65, 150}) {
      Sample sample;
      for (int64_t i = 0; i < length; ++i) {
        sample.tokens.push_back(static_cast<int32_t>((i * 7 + length * 3 + i * i) % 61));
        sample.weights.push_back(i % 5 == 0 ? 0.0f : 1.0f + static_cast<float>(i % 3));
      }
      samples_.push_back(std::move(sample));
    }
    for (const Sample& sample : samples_) all_.push_back(&sample);
    totals_ = distill::loss_totals(all_, kDraftSteps);
  }

  Batch batch_of(std::span<const Sample* const> samples) const {
    return distill::make_batch(samples, kDraftSteps, totals_, torch::kDouble);
  }

  model::TextConfig config_;
  distill::ParameterSet parameters_;
  std::vector<torch::Tensor> leaves_;
  std::vector<Sample> samples_;
  std::vector<const Sample*> all_;
  distill::LossTotals totals_;
};

double difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// In float64 only the order of sums differs, carried up by the norms over small heads; a mistake in
// a border shows at 1e-3 or more (AWrongBorderShows).
constexpr double kRounding = 1e-9;

TEST_F(Packing, LogitsAndDraftsAreThoseOfTheSamplesAlone) {
  const torch::NoGradGuard no_gradients;
  const Network network(config_, parameters_, torch::kDouble);
  const Batch together = batch_of(all_);
  const torch::Tensor hidden = network.hidden(together);
  const torch::Tensor logits = network.logits(hidden);
  const std::vector<torch::Tensor> drafts = network.draft(together, hidden);
  int64_t row = 0, start = 0;
  for (const Sample* sample : all_) {
    const Batch alone = batch_of({&sample, 1});
    const torch::Tensor own_hidden = network.hidden(alone);
    const torch::Tensor own = network.logits(own_hidden);
    EXPECT_LE(difference(logits.narrow(0, row, own.size(0)), own), kRounding)
        << "sample of " << sample->tokens.size();
    row += own.size(0);
    const int64_t starts = alone.starts.size(0);
    if (starts > 0) {
      const std::vector<torch::Tensor> own_drafts = network.draft(alone, own_hidden);
      for (size_t step = 0; step < own_drafts.size(); ++step) {
        EXPECT_LE(difference(drafts[step].narrow(0, start, starts), own_drafts[step]), kRounding)
            << "sample of " << sample->tokens.size() << ", step " << step;
      }
    }
    start += starts;
  }
  EXPECT_EQ(row, logits.size(0));
  EXPECT_EQ(start, together.starts.size(0));
}

TEST_F(Packing, AWrongBorderShows) {
  const torch::NoGradGuard no_gradients;
  const Network network(config_, parameters_, torch::kDouble);
  const Batch good = batch_of(all_);
  const torch::Tensor right = network.hidden(good);
  // The delta rule and the convolution run on from the first sample into the second and third.
  Batch merged = good;
  merged.segments = good.segments.clone();
  merged.segments[0][1] = merged.segments[2][1];
  merged.segments = torch::cat({merged.segments.narrow(0, 0, 1), merged.segments.narrow(0, 3, 4)});
  EXPECT_GT(difference(network.hidden(merged), right), 1e-3);
  // Attention sees the sample before.
  merged = good;
  merged.groups = good.groups.clone();
  merged.groups[3][2] = merged.groups[2][2];
  EXPECT_GT(difference(network.hidden(merged), right), 1e-3);
}

TEST_F(Packing, LossesAndGradientsAddUp) {
  const Network network(config_, parameters_, torch::kDouble);
  const auto gradients_of = [&](const distill::BatchLosses& losses) {
    return torch::autograd::grad({losses.total}, leaves_, {}, false, false, true);
  };
  const distill::BatchLosses whole = network.losses(batch_of(all_), kDraftWeights);
  const auto whole_gradients = gradients_of(whole);
  double text = 0;
  std::vector<double> draft(kDraftSteps);
  std::vector<torch::Tensor> sums;
  for (const torch::Tensor& leaf : leaves_) sums.push_back(torch::zeros_like(leaf.detach()));
  for (const Sample* sample : all_) {
    const Batch batch = batch_of({&sample, 1});
    if (batch.loss_rows.size(0) == 0) continue;
    const distill::BatchLosses alone = network.losses(batch, kDraftWeights);
    text += alone.text;
    for (size_t step = 0; step < alone.draft.size(); ++step) draft[step] += alone.draft[step];
    const auto gradients = gradients_of(alone);
    for (size_t i = 0; i < sums.size(); ++i) {
      if (gradients[i].defined()) sums[i] += gradients[i];
    }
  }
  EXPECT_NEAR(whole.text, text, kRounding);
  for (size_t step = 0; step < draft.size(); ++step)
    EXPECT_NEAR(whole.draft[step], draft[step], kRounding);
  for (size_t i = 0; i < sums.size(); ++i)
    EXPECT_LE(difference(whole_gradients[i], sums[i]), kRounding) << parameters_.all[i].name();
}

// What the losses are divided by makes them means: uniform logits cost ln(vocabulary).
TEST_F(Packing, LossesAreMeans) {
  const torch::NoGradGuard no_gradients;
  parameters_.all[parameters_.head].value.zero_();
  const Network network(config_, parameters_, torch::kDouble);
  const distill::BatchLosses losses = network.losses(batch_of(all_), kDraftWeights);
  EXPECT_NEAR(losses.text, std::log(61.0), 1e-6);
  for (const double draft : losses.draft) EXPECT_NEAR(draft, std::log(61.0), 1e-6);
}

}  // namespace
}  // namespace sluice::test
