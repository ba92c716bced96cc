// The checkpoint that is always there (tests/model/data/tiny) against an independent float64
// transcription of the specification (tests/reference/model_reference.py, which made the goldens).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "model/golden.h"
#include "model/session.h"
#include "support/paths.h"

namespace sluice::test {
namespace {

class Tiny : public ::testing::Test {
 protected:
  void SetUp() override {
    auto golden =
        checkpoint::Checkpoint::open(tests_folder() / "model/data/tiny-golden/golden.safetensors");
    ASSERT_TRUE(golden.ok());
    golden_ = *std::move(golden);
  }
  std::vector<float> floats(const char* name) const { return float_values(*golden_->find(name)); }
  std::vector<int32_t> integers(const char* name) const {
    const checkpoint::StoredTensor& tensor = *golden_->find(name);
    std::vector<int32_t> values(static_cast<size_t>(tensor.elements()));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
  }
  std::optional<checkpoint::Checkpoint> golden_;
  Session session_{tests_folder() / "model/data/tiny"};
};

TEST_F(Tiny, BindsWithoutAProblem) {
  const model::Binding& binding = *session_.binding;
  EXPECT_TRUE(binding.runnable);
  EXPECT_TRUE(binding.mtp_usable);
  EXPECT_FALSE(binding.vision_present);
  EXPECT_TRUE(binding.problems.empty());
  EXPECT_EQ(binding.config.stop_ids, (std::vector<int32_t>{266, 268}));
  EXPECT_TRUE(model::require_runnable(binding, "tiny").ok());
}

TEST_F(Tiny, LogitsAndStates) {
  session_.read(integers("ids"));
  EXPECT_LE(peak_error(session_.logits(integers("rows")), floats("logits")), 5e-6);
  const ops::RecurrentImage image = session_.state();
  const std::vector<float> first = floats("state_0"), third = floats("state_2");
  const size_t layer = image.size() / 3;
  EXPECT_LE(peak_error(std::span(image).first(first.size()), first), 5e-6);
  EXPECT_LE(peak_error(std::span(image).subspan(2 * layer, third.size()), third), 5e-6);
}

TEST_F(Tiny, TokenByToken) {
  const std::vector<int32_t> ids = integers("ids"), rows = integers("rows");
  std::vector<float> logits;
  for (size_t i = 0; i < ids.size(); ++i) {
    session_.read(std::span(ids).subspan(i, 1), ops::Role::kAnswer);
    if (std::find(rows.begin(), rows.end(), static_cast<int32_t>(i)) == rows.end()) continue;
    const std::vector<float> row = session_.all_logits();
    logits.insert(logits.end(), row.begin(), row.end());
  }
  EXPECT_LE(peak_error(logits, floats("logits")), 5e-6);
}

TEST_F(Tiny, DraftHead) {
  const std::vector<int32_t> ids = integers("ids"), rows = integers("rows");
  const std::vector<float> hidden = session_.read(ids);
  std::vector<int32_t> shifted(ids.begin() + 1, ids.end());
  shifted.push_back(integers("next_token").front());
  const std::vector<float> m = session_.draft(0, shifted, hidden);
  EXPECT_LE(peak_error(rows_of(m, session_.config().hidden, rows), floats("m")), 5e-6);
  EXPECT_LE(peak_error(session_.logits(rows), floats("draft_logits")), 5e-6);
  // Without an override the head's own logits are the model's.
  EXPECT_EQ(session_.backend->download(
                session_.text_model->mtp()->logits(session_.last, rows, *session_.workspace)),
            session_.logits(rows));
}

// What the plan counts is what load() makes the backend allocate.
TEST_F(Tiny, PlannedBytesAreTheAllocatedOnes) {
  const auto planned = model::TextModel::weight_bytes(*session_.binding, *session_.backend, true);
  const auto without = model::TextModel::weight_bytes(*session_.binding, *session_.backend, false);
  EXPECT_EQ(planned.text, without.text);
  EXPECT_EQ(without.mtp, 0u);
  uint64_t text = 0, mtp = 0;
  for (const model::BoundWeight& weight : session_.binding->weights) {
    uint64_t& bytes = weight.part == model::Part::kText ? text : mtp;
    if (weight.vector) {
      bytes += static_cast<uint64_t>((weight.matrix.rows * weight.matrix.columns + 15) / 16 * 64);
      continue;
    }
    const auto matrix = session_.backend->load_matrix(
        weight.matrix,
        weight.role == "embedding" ? ops::MatrixUse::kLookup : ops::MatrixUse::kProduct);
    ASSERT_TRUE(matrix.ok());
    bytes += (*matrix)->bytes();
  }
  EXPECT_EQ(planned.text, text);
  EXPECT_EQ(planned.mtp, mtp);
}

TEST_F(Tiny, ProgressEndsAtTheTotal) {
  uint64_t last_done = 0, last_total = 0, calls = 0;
  model::LoadOptions options;
  options.progress = [&](uint64_t done, uint64_t total) {
    EXPECT_GE(done, last_done);
    last_done = done;
    last_total = total;
    ++calls;
  };
  ASSERT_TRUE(
      model::TextModel::load(*session_.file, *session_.binding, *session_.backend, options).ok());
  EXPECT_GT(calls, 50u);
  EXPECT_EQ(last_done, last_total);
}

TEST_F(Tiny, WorkspaceHoldsWhatItSays) {
  for (const int64_t rows : {1, 7, 64}) {
    const auto workspace = model::Workspace::create(session_.config(), *session_.backend, rows, 3);
    ASSERT_TRUE(workspace.ok());
    EXPECT_EQ((*workspace)->max_rows(), rows);
    EXPECT_EQ((*workspace)->max_logit_rows(), 3);
    EXPECT_GE(model::Workspace::bytes(session_.config(), rows, 3),
              static_cast<size_t>(rows * 5 * session_.config().hidden) * sizeof(float));
  }
  EXPECT_LT(model::Workspace::bytes(session_.config(), 8, 1),
            model::Workspace::bytes(session_.config(), 8, 2));
}

}  // namespace
}  // namespace sluice::test
