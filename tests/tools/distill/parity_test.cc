// The trainer's forward pass against the reference implementation's recorded outputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/golden.h"
#include "support/paths.h"
#include "tools/distill/network.h"

namespace sluice::test {
namespace {

using distill::Batch;
using distill::Network;
using distill::Sample;

// Largest absolute difference that issue 7 allows, over the peak of the golden tensor.
constexpr double kTolerance = 1e-4;

std::vector<float> values_of(const torch::Tensor& tensor) {
  const torch::Tensor dense = tensor.to(torch::kFloat).contiguous();
  return {dense.data_ptr<float>(), dense.data_ptr<float>() + dense.numel()};
}

class TrainerParity : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_SHARED(folder, std::string("goldens/") + GetParam());
    golden_ = std::make_unique<GoldenCase>(folder);
    auto checkpoint = checkpoint::Checkpoint::open(folder);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
    auto config = model::read_config(*checkpoint);
    ASSERT_TRUE(config.ok()) << config.error().message();
    config_ = *std::move(config);
    parameters_ = distill::make_parameters(config_, {});
    const Status status = distill::load_parameters(*checkpoint, parameters_);
    ASSERT_TRUE(status.ok()) << status.error().message();
  }

  // One sample of these tokens; `label` is the only one that counts (all do if it is negative).
  Batch batch_of(const std::vector<int32_t>& tokens, int64_t steps, int64_t label = -1) const {
    Sample sample{tokens, std::vector<float>(tokens.size(), label < 0 ? 1.0f : 0.0f)};
    if (label >= 0) sample.weights[static_cast<size_t>(label)] = 1;
    const Sample* one[] = {&sample};
    return distill::make_batch(one, steps, distill::loss_totals(one, steps));
  }

  void expect_near(const std::string& name, const torch::Tensor& values) {
    const std::vector<float> golden = golden_->floats(name);
    EXPECT_LE(peak_error(values_of(values), golden), kTolerance) << name;
    ++compared_;
  }

  std::vector<std::string> prompts() const {
    std::vector<std::string> result;
    for (const std::string& name : golden_->names()) {
      if (name.starts_with("len") && name.ends_with(".ids"))
        result.push_back(name.substr(0, name.size() - 3));
    }
    return result;
  }

  torch::Tensor rows(const std::string& name) const {
    const std::vector<int32_t> ids = golden_->integers(name);
    return torch::tensor(std::vector<int64_t>(ids.begin(), ids.end()), torch::kLong);
  }

  std::unique_ptr<GoldenCase> golden_;
  model::TextConfig config_;
  distill::ParameterSet parameters_;
  int compared_ = 0;
};

TEST_P(TrainerParity, LogitsOfAllPrompts) {
  const torch::NoGradGuard no_gradients;
  const Network network(config_, parameters_, torch::kFloat);
  for (const std::string& prompt : prompts()) {
    const torch::Tensor hidden = network.hidden(batch_of(golden_->integers(prompt + "ids"), 0));
    const torch::Tensor positions = rows(prompt + "logits_positions");
    expect_near(prompt + "logits", network.logits(hidden.index_select(0, positions)));
    expect_near(prompt + "final_norm",
                golden_->has(prompt + "final_norm_positions")
                    ? hidden.index_select(0, rows(prompt + "final_norm_positions"))
                    : hidden);
  }
  EXPECT_GE(compared_, 4);
}

TEST_P(TrainerParity, DraftHeadOnTheText) {
  if (!golden_->has("len5.mtp.hidden")) GTEST_SKIP() << "this case has no draft head";
  const torch::NoGradGuard no_gradients;
  const Network network(config_, parameters_, torch::kFloat);
  for (const std::string& prompt : prompts()) {
    if (!golden_->has(prompt + "mtp.slots")) continue;
    std::vector<int32_t> tokens = golden_->integers(prompt + "ids");
    const std::vector<int32_t> greedy = golden_->integers(prompt + "greedy.tokens");
    tokens.insert(tokens.end(), greedy.begin(), greedy.end());
    tokens.push_back(0);  // a label for the last slot; no row reads it
    const Batch batch = batch_of(tokens, 1);
    const torch::Tensor m = network.draft(batch, network.hidden(batch)).front();
    ASSERT_EQ(m.size(0), static_cast<int64_t>(tokens.size()) - 2);
    const torch::Tensor slots = rows(prompt + "mtp.slots");
    expect_near(prompt + "mtp.hidden", m.index_select(0, slots));
    expect_near(prompt + "mtp.logits", network.logits(m.index_select(0, slots)));
  }
  EXPECT_GE(compared_, 2);
}

TEST_P(TrainerParity, RecursiveDrafts) {
  if (!golden_->has("len5.mtp.draft_logits")) GTEST_SKIP() << "this case has no draft head";
  const torch::NoGradGuard no_gradients;
  const Network network(config_, parameters_, torch::kFloat);
  for (const std::string& prompt : prompts()) {
    if (!golden_->has(prompt + "mtp.draft_logits")) continue;
    std::vector<int32_t> text = golden_->integers(prompt + "ids");
    const std::vector<int32_t> greedy = golden_->integers(prompt + "greedy.tokens");
    text.insert(text.end(), greedy.begin(), greedy.end());
    const std::vector<int32_t> slots = golden_->integers(prompt + "mtp.draft_slots");
    const std::vector<int32_t> drafts = golden_->integers(prompt + "mtp.draft_tokens");
    std::vector<torch::Tensor> logits;
    for (size_t i = 0; i < 4; ++i) {
      std::vector<int32_t> tokens(text.begin(), text.begin() + slots[i] + 2);
      tokens.insert(tokens.end(), drafts.begin() + static_cast<int64_t>(4 * i),
                    drafts.begin() + static_cast<int64_t>(4 * i + 4));
      const Batch batch = batch_of(tokens, 4, slots[i] + 2);
      for (const torch::Tensor& m : network.draft(batch, network.hidden(batch)))
        logits.push_back(network.logits(m));
    }
    expect_near(prompt + "mtp.draft_logits", torch::cat(logits));
  }
  EXPECT_GE(compared_, 1);
}

INSTANTIATE_TEST_SUITE_P(Goldens, TrainerParity,
                         ::testing::Values("text-r3-untied-mtp", "vlm-r1-tied-mtp",
                                           "text-r2-layertypes", "flat-oldrope-r3"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace sluice::test
