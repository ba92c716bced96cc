// What the configs of a build say is not quantized.
#include <gtest/gtest.h>

#include <algorithm>

#include "support/paths.h"
#include "tools/quantize/safetensors_build.h"

namespace sluice {
namespace {

bool has(const Json* list, const char* name) {
  return list != nullptr && std::any_of(list->items().begin(), list->items().end(),
                                        [&](const Json& item) { return item.string() == name; });
}

// One group for all linears must except the head of a tied model, which is a linear without a
// tensor: transformers 5.23 does not open the build otherwise.
TEST(KeptModules, TheHeadOfATiedModelIsAmongThem) {
  const auto source = convert::open_source(test::tests_folder().parent_path() / "models/sprout");
  ASSERT_TRUE(source.ok()) << source.error().message();
  ASSERT_EQ(source->checkpoint->find("lm_head.weight"), nullptr);
  const struct {
    const char *recipe, *layout, *list;
  } kCases[] = {{"fp8_block", "official", "modules_to_not_convert"},
                {"fp8_channel", "compressed-tensors", "ignore"},
                {"nvfp4", "compressed-tensors", "ignore"},
                {"nvfp4", "modelopt", "ignore"}};
  for (const auto& one : kCases) {
    quantize::SafetensorsRequest request;
    request.recipe = quantize::find_recipe(one.recipe);
    request.layout = *quantize::layout_for(*request.recipe, one.layout);
    const auto plan = quantize::plan_safetensors(*source, request);
    ASSERT_TRUE(plan.ok()) << plan.error().message();
    ASSERT_TRUE(plan->quantization.config.has_value());
    EXPECT_TRUE(has(plan->quantization.config->find(one.list), "lm_head"))
        << one.recipe << " " << one.layout;
  }
}

}  // namespace
}  // namespace sluice
