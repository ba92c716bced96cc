// Which inputs are gathered in which pass, and that a pass adds up what the trace says, in the
// order of columns in which matrices are written.
#include "tools/calibrate/compensation_factors.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/registry.h"
#include "support/paths.h"
#include "tools/calibrate/inputs.h"
#include "tools/calibrate/window_reader.h"

namespace sluice {
namespace {

using calibrate::plan_product_passes;
using calibrate::ProductDemand;
using quantize::InputProducts;

using Names = std::vector<std::string>;

TEST(ProductPasses, TakeWhatFitsInTheOrderOfDemand) {
  // A square of 100 columns is 40 kB, and 80 kB more while it is factored.
  const std::vector<ProductDemand> demands = {{"a", 100}, {"b", 100}, {"a", 100},
                                              {"c", 100}, {"b", 100}, {"d", 100}};
  const auto one = plan_product_passes(demands, 240'000);
  ASSERT_TRUE(one.ok());
  ASSERT_EQ(one->passes.size(), 1u);
  EXPECT_EQ(one->passes[0].inputs, (Names{"a", "b", "c", "d"}));
  EXPECT_EQ(one->most_bytes, 240'000u);

  // "b" is still wanted when "c" is due, "a" is not.
  const auto two = plan_product_passes(demands, 239'999);
  ASSERT_TRUE(two.ok());
  ASSERT_EQ(two->passes.size(), 2u);
  EXPECT_EQ(two->passes[0].inputs, (Names{"a", "b", "c"}));
  EXPECT_EQ(two->passes[1].inputs, (Names{"d"}));
  EXPECT_EQ(two->passes[1].first, 5u);

  const auto more = plan_product_passes(demands, 160'000);
  ASSERT_TRUE(more.ok());
  ASSERT_EQ(more->passes.size(), 3u);
  EXPECT_EQ(more->passes[0].inputs, (Names{"a", "b"}));
  EXPECT_EQ(more->passes[1].inputs, (Names{"c"}));
  EXPECT_EQ(more->passes[1].first, 3u);
  EXPECT_EQ(more->passes[2].inputs, (Names{"d"}));

  const auto none = plan_product_passes(demands, 119'999);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kDoesNotFit);
}

// The rows of an input as the trace shows them.
class Recorder : public model::TraceSink {
 public:
  Recorder(ops::Backend& backend, std::string wanted)
      : backend_(backend), wanted_(std::move(wanted)) {}
  void record(const std::string& name, const ops::View& value) override {
    if (name != wanted_) return;
    const auto values = backend_.download(value);
    rows.insert(rows.end(), values.begin(), values.end());
  }
  std::vector<float> rows;

 private:
  ops::Backend& backend_;
  std::string wanted_;
};

TEST(CompensationFactors, AreMadeOfTheInputsInTheOrderOfPublishedCheckpoints) {
  auto file = checkpoint::Checkpoint::open(test::tests_folder() / "model/data/tiny");
  ASSERT_TRUE(file.ok());
  auto binding = model::bind(*file);
  ASSERT_TRUE(binding.ok());
  auto backend = std::move(backend::create({"cpu", 1, std::nullopt}).value());
  const auto model = std::move(model::TextModel::load(*file, *binding, *backend, {}).value());
  std::vector<int32_t> window;
  for (int32_t i = 0; i < 60; ++i) window.push_back(7 + 3 * i % 200);
  const auto read = [&](model::TraceSink& tap) {
    auto reader = calibrate::WindowReader::create(*model, 64, ops::KvFormat::kF32);
    ASSERT_TRUE(reader.ok());
    (*reader)->read(window, tap);
  };
  Recorder recorder(*backend, "layers.0.gdn.core_normed");
  read(recorder);

  // As if the checkpoint were a GGUF: its value heads would stand tiled, three for each of two key
  // heads, so the grouped head g is the tiled head 2 (g mod 3) + g / 3.
  binding->config.head_order = ops::HeadOrder::kTiled;
  calibrate::CompensationRun run;
  run.budget = uint64_t{1} << 30;
  size_t passes = 0;
  run.read = [&](size_t pass, const calibrate::CompensationRun::MakeTap& make_tap) -> Status {
    EXPECT_EQ(pass, passes++);
    read(*make_tap(*backend));
    return {};
  };
  calibrate::CompensationFactors factors(*binding, std::move(run));
  const std::string module = "layers.0.linear_attn.out_proj";
  const Names asked = {"layers.0.linear_attn.in_proj_qkv", module,
                       "layers.0.linear_attn.in_proj_z"};
  ASSERT_TRUE(factors.expect(asked).ok());
  ThreadPool pool(1);
  const auto first = factors.factor(asked[0], pool), own = factors.factor(asked[1], pool),
             third = factors.factor(asked[2], pool);
  ASSERT_TRUE(first.ok() && own.ok() && third.ok());
  EXPECT_EQ(first->get(), third->get());  // one input
  EXPECT_EQ(passes, 1u);
  // Asked for once more than was announced: read again, the same.
  const auto again = factors.factor(module, pool);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(passes, 2u);
  EXPECT_EQ((*again)->blocks.front().upper, (*own)->blocks.front().upper);

  constexpr int64_t kColumns = 72, kWidth = 12;
  const auto& block = (*own)->blocks.front();
  ASSERT_EQ(block.size, kColumns);
  const auto source = [&](int32_t column) {
    const int64_t head = column / kWidth;
    return static_cast<size_t>((2 * (head % 3) + head / 3) * kWidth + column % kWidth);
  };
  double largest = 0;
  for (const float value : recorder.rows)
    largest = std::max(largest, 60 * double{value} * double{value});
  for (size_t i = 0; i < kColumns; ++i) {
    for (size_t j = i; j < kColumns; ++j) {
      double expected = i == j ? block.damping : 0, product = 0;
      for (size_t row = 0; row < recorder.rows.size(); row += kColumns)
        expected += double{recorder.rows[row + source(block.order[i])]} *
                    double{recorder.rows[row + source(block.order[j])]};
      for (size_t k = j; k < kColumns; ++k)
        product += double{block.upper[i * kColumns + k]} * double{block.upper[j * kColumns + k]};
      EXPECT_NEAR(product, expected, 1e-5 * largest) << i << " " << j;
    }
  }
}

TEST(CompensationFactors, RefuseWhatTheyKnowNothingOf) {
  auto file = checkpoint::Checkpoint::open(test::tests_folder() / "model/data/tiny");
  ASSERT_TRUE(file.ok());
  auto binding = model::bind(*file);
  ASSERT_TRUE(binding.ok());
  calibrate::CompensationFactors factors(*binding, {});
  const Names draft = {"mtp.layers.0.mlp.up_proj"};  // the run does not read it
  EXPECT_FALSE(factors.expect(draft).ok());
}

}  // namespace
}  // namespace sluice
