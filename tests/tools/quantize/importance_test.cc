// Importance vectors on their way into a build: length, and order of value heads.
#include "tools/quantize/importance.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint/imatrix_writer.h"
#include "support/paths.h"
#include "tools/quantize/safetensors_build.h"

namespace sluice {
namespace {

using checkpoint::ImportanceMatrix;

// A matrix with one entry.
ImportanceMatrix with_entry(const std::string& tensor, std::vector<double> squares) {
  const test::TemporaryFolder folder;
  checkpoint::ImportanceRecord record;
  record.entries = {{tensor, std::move(squares), 1}};
  record.chunks = record.chunk_size = 1;
  const auto file = folder.path() / "a.gguf";
  EXPECT_TRUE(
      checkpoint::write_importance(file, checkpoint::ImportanceForm::kGguf, record, false).ok());
  return std::move(ImportanceMatrix::open(file).value());
}

class Importance : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = convert::open_source(test::tests_folder() / "model/data/tiny");
    ASSERT_TRUE(opened.ok());
    source_ = std::move(*opened);
  }
  convert::Source source_;
};

// A vector that does not fit is another model's: never a reason to go on without it.
TEST_F(Importance, WrongLengthIsRefusedForSafetensorsTargets) {
  for (const size_t columns : {size_t{47}, size_t{48}, size_t{49}}) {
    const auto matrix =
        with_entry("blk.2.ffn_up.weight", std::vector<double>(columns, 1.0));  // has 48
    quantize::SafetensorsRequest request;
    request.recipe = quantize::find_recipe("nvfp4");
    request.layout = *quantize::layout_for(*request.recipe, "");
    request.importance = &matrix;
    request.importance_file = "a.gguf";
    const auto plan = quantize::plan_safetensors(source_, request);
    EXPECT_EQ(plan.ok(), columns == 48);
    if (plan.ok()) continue;
    EXPECT_EQ(plan.error().code, ErrorCode::kBadInput);
    EXPECT_EQ(plan.error().what, "a.gguf");
    EXPECT_NE(plan.error().why.find("blk.2.ffn_up.weight"), std::string::npos);
  }
}

TEST_F(Importance, MissingEntriesAreCountedInANote) {
  const auto matrix = with_entry("blk.2.ffn_up.weight", std::vector<double>(48, 1.0));
  quantize::SafetensorsRequest request;
  request.recipe = quantize::find_recipe("nvfp4");
  request.layout = *quantize::layout_for(*request.recipe, "");
  request.importance = &matrix;
  const auto plan = quantize::plan_safetensors(source_, request);
  ASSERT_TRUE(plan.ok());
  // Two in each linear attention (the 72 columns of out_proj are not blocks of 16), four in the
  // full one, three in each MLP, less the one that has an entry.
  const std::string wanted = "21 tensors have no entry in the importance matrix";
  EXPECT_NE(std::find(plan->notes.begin(), plan->notes.end(), wanted), plan->notes.end());
}

// GGUF files have value heads tiled; published head g (three for each of two key heads) is the
// tiled head 2 (g mod 3) + g / 3.
TEST_F(Importance, PublishedOrderUndoesTheTiling) {
  const auto* weight = source_.find("layers.0.linear_attn.out_proj.weight");
  ASSERT_NE(weight, nullptr);
  std::vector<double> squares(72);
  for (size_t i = 0; i < squares.size(); ++i) squares[i] = static_cast<double>(i);
  const auto matrix = with_entry("blk.0.ssm_out.weight", squares);
  const auto stored = quantize::importance_of(&matrix, "a.gguf", *weight, source_.binding.config);
  ASSERT_TRUE(stored.ok());
  const auto values = quantize::in_published_order(*stored, *weight, source_.binding.config);
  ASSERT_EQ(values.size(), 72u);
  for (size_t g = 0; g < 6; ++g) {
    const size_t tiled = 2 * (g % 3) + g / 3;
    for (size_t i = 0; i < 12; ++i)
      EXPECT_EQ(values[12 * g + i], static_cast<float>(12 * tiled + i));
  }
}

}  // namespace
}  // namespace sluice
