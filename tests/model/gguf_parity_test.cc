// GGUF files made by llama.cpp's tools (../shared/goldens/gguf) against transformers on the decoded
// weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/golden.h"
#include "model/session.h"
#include "support/paths.h"
#include "support/zstd_file.h"

namespace sluice::test {
namespace {

// Positions of the stored rows (../shared/goldens/gguf/README.md).
std::vector<int32_t> positions(size_t prompt) {
  if (prompt == 5) return {0, 1, 2, 3, 4};
  return prompt == 64 ? std::vector<int32_t>{0, 31, 62, 63}
                      : std::vector<int32_t>{0, 63, 64, 95, 127, 128, 129};
}

struct GgufCase {
  const char* file;    // "r3-bf16"
  const char* model;   // "r3"
  const char* golden;  // "r3-float32"
};

void PrintTo(const GgufCase& gguf, std::ostream* out) { *out << gguf.file; }

class Gguf : public ::testing::TestWithParam<GgufCase> {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_SHARED(folder, "goldens/gguf");
    folder_ = folder;
    const std::string model = GetParam().model;
    session_ = std::make_unique<Session>(
        unpack_zstd(folder / (std::string(GetParam().file) + ".gguf.zst"), temporary_.path()));
    const auto text = read_file(folder / (model + "-tokenization.json"), 1 << 20);
    ASSERT_TRUE(text.ok());
    tokenization_ = *parse_json(*text);
  }

  std::vector<int32_t> prompt(size_t length) const {
    const Json* entry = tokenization_.find("prompts")->find(std::to_string(length));
    if (entry->is_object()) entry = entry->find("ids");
    std::vector<int32_t> ids;
    for (const Json& id : entry->items()) ids.push_back(static_cast<int32_t>(*id.as_int64()));
    return ids;
  }

  TemporaryFolder temporary_;
  std::filesystem::path folder_;
  std::unique_ptr<Session> session_;
  Json tokenization_;
};

TEST_P(Gguf, BindsWithoutAProblem) {
  const model::Binding& binding = *session_->binding;
  EXPECT_TRUE(binding.runnable);
  for (const model::Problem& problem : binding.problems)
    ADD_FAILURE() << problem.tensor << ": " << problem.message;
  EXPECT_EQ(binding.mtp_usable, std::string(GetParam().model) == "r3");
  EXPECT_EQ(binding.config.head_order, ops::HeadOrder::kTiled);
  EXPECT_EQ(binding.config.tied, std::string(GetParam().model) == "r2");
  // Both end markers, though the file names only one of them.
  EXPECT_EQ(binding.config.stop_ids.size(), 2u);
}

TEST_P(Gguf, Logits) {
  const auto golden = checkpoint::Checkpoint::open(
      folder_ / (std::string(GetParam().model) + "-logits.safetensors"));
  ASSERT_TRUE(golden.ok());
  for (const size_t length : {5u, 64u, 130u}) {
    const std::string name = std::string(GetParam().golden) + "/p" + std::to_string(length) + "/hf";
    const checkpoint::StoredTensor* tensor = golden->find(name);
    ASSERT_NE(tensor, nullptr) << name;
    session_->restart();
    session_->read(prompt(length));
    const std::vector<float> logits = tensor->shape[0] == static_cast<int64_t>(length)
                                          ? session_->all_logits()
                                          : session_->logits(positions(length));
    EXPECT_LE(peak_error(logits, float_values(*tensor)), 1e-5) << name;
  }
}

TEST_P(Gguf, DraftHead) {
  if (!session_->binding->mtp_usable) GTEST_SKIP() << "this file has no draft head";
  if (std::string(GetParam().golden) != "r3-float32")
    GTEST_SKIP() << "there are no goldens of a quantized draft head";
  const auto golden = checkpoint::Checkpoint::open(folder_ / "r3-mtp.safetensors");
  ASSERT_TRUE(golden.ok());
  for (const size_t length : {5u, 64u, 130u}) {
    const std::string name = "p" + std::to_string(length);
    const std::vector<int32_t> ids = prompt(length), rows = positions(length);
    session_->restart();
    const std::vector<float> hidden = session_->read(ids);
    const int64_t size = session_->config().hidden;
    EXPECT_LE(
        peak_error(rows_of(hidden, size, rows), float_values(*golden->find(name + "/h_post_norm"))),
        1e-5)
        << name;
    const int32_t last_row = static_cast<int32_t>(length) - 1;
    std::vector<int32_t> shifted(ids.begin() + 1, ids.end());
    shifted.push_back(
        argmax_rows(session_->logits({&last_row, 1}), session_->config().vocabulary).front());
    const std::vector<float> m = session_->draft(0, shifted, hidden);
    EXPECT_LE(peak_error(rows_of(m, size, rows), float_values(*golden->find(name + "/slot/m"))),
              1e-5)
        << name;
    EXPECT_LE(
        peak_error(session_->logits(rows), float_values(*golden->find(name + "/slot/logits"))),
        1e-5)
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, Gguf,
                         ::testing::Values(GgufCase{"r3-bf16", "r3", "r3-float32"},
                                           GgufCase{"r3-Q4_K_M", "r3", "r3-Q4_K_M"},
                                           GgufCase{"r2-Q8_0", "r2", "r2-Q8_0"},
                                           GgufCase{"r2-Q4_0", "r2", "r2-Q4_0"},
                                           GgufCase{"r2-IQ4_XS", "r2", "r2-IQ4_XS"},
                                           GgufCase{"r2nv", "r2", "r2nv"}),
                         [](const auto& param) {
                           std::string name = param.param.file;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace sluice::test
