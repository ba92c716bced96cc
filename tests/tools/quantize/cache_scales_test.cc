// Scales for an FP8 key-value cache: written where each ecosystem looks for them, read back by our
// own loader.
#include <gtest/gtest.h>

#include "base/file.h"
#include "support/paths.h"
#include "tools/quantize/build.h"

namespace sluice {
namespace {

using quantize::ActivationRanges;
using quantize::SafetensorsRequest;

class CacheScales : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = convert::open_source(test::tests_folder() / "model/data/tiny");
    ASSERT_TRUE(opened.ok());
    source_ = std::move(*opened);
    ranges_.set_key_value("layers.3.self_attn", {56.0f, 7.0f});  // times 1/448: 1/8 and 1/64
  }
  SafetensorsRequest request(const char* recipe, const char* layout) const {
    SafetensorsRequest out;
    out.recipe = quantize::find_recipe(recipe);
    out.layout = *quantize::layout_for(*out.recipe, layout);
    out.ranges = &ranges_;
    out.cache_scales = true;
    return out;
  }
  convert::Source source_;
  ActivationRanges ranges_;
};

TEST_F(CacheScales, AreBoundFromBothLayouts) {
  for (const char* layout : {"compressed-tensors", "modelopt"}) {
    const test::TemporaryFolder folder;
    quantize::BuildRequest build;
    build.out = folder.path() / "out";
    build.target = "nvfp4";
    build.how = request("nvfp4", layout);
    ThreadPool pool(1);
    const auto made = quantize::make_build(source_, build, pool, {});
    ASSERT_TRUE(made.ok()) << made.error().message();
    const auto built = convert::open_source(build.out);
    ASSERT_TRUE(built.ok()) << built.error().message();
    for (const auto& problem : built->binding.problems)
      EXPECT_EQ(problem.severity, model::Problem::Severity::kNote) << problem.message;
    EXPECT_TRUE(built->binding.fp8_kv_announced) << layout;
    EXPECT_EQ(built->binding.key_scales, (std::vector<float>{0.125f, 1.0f})) << layout;
    EXPECT_EQ(built->binding.value_scales, (std::vector<float>{0.015625f, 1.0f})) << layout;
    const std::string place = layout == std::string("modelopt")
                                  ? "model.layers.3.self_attn.k_proj.k_scale"
                                  : "model.layers.3.self_attn.k_scale";
    const auto* stored = built->checkpoint->find(place);
    ASSERT_NE(stored, nullptr) << layout;
    EXPECT_EQ(stored->dtype, layout == std::string("modelopt") ? DType::kF32 : DType::kBF16);
    const auto* other = built->checkpoint->find("model.layers.2.self_attn.k_scale");
    EXPECT_EQ(other, nullptr);  // a layer without keys
  }
}

TEST_F(CacheScales, AreRefusedWhereTheyCannotBe) {
  EXPECT_FALSE(quantize::plan_safetensors(source_, request("fp8_block", "official")).ok());
  EXPECT_FALSE(quantize::plan_safetensors(source_, request("safetensors", "")).ok());
  EXPECT_TRUE(quantize::plan_safetensors(source_, request("fp8_block", "compressed-tensors")).ok());
  SafetensorsRequest without = request("nvfp4", "");
  without.ranges = nullptr;
  EXPECT_EQ(quantize::plan_safetensors(source_, without).error().what, "--kv-scales");
  const ActivationRanges no_keys;
  without.ranges = &no_keys;
  EXPECT_EQ(quantize::plan_safetensors(source_, without).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace sluice
