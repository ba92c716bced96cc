// Names and the order of value heads, both ways.
#include <gtest/gtest.h>

#include <string>

#include "model/tensor_names.h"
#include "tools/convert/head_order.h"
#include "tools/convert/names.h"
#include "tools/quantize/copied_configs.h"

namespace sluice {
namespace {

TEST(Names, GgufNamesAreTheInverseOfTheReaders) {
  for (const char* name :
       {"embed_tokens.weight", "norm.weight", "lm_head.weight", "layers.3.input_layernorm.weight",
        "layers.63.self_attn.q_norm.weight", "layers.10.linear_attn.A_log",
        "layers.0.linear_attn.dt_bias", "layers.0.linear_attn.conv1d.weight", "mtp.fc.weight",
        "mtp.norm.weight", "mtp.pre_fc_norm_hidden.weight", "mtp.layers.0.mlp.down_proj.weight",
        "mtp.layers.0.self_attn.k_norm.weight"}) {
    const std::string stored = model::gguf_name(name, 64);
    EXPECT_FALSE(stored.empty()) << name;
    EXPECT_EQ(model::canonical_gguf_name(stored, 64), name) << stored;
  }
  for (const char* name : {"layers.x.mlp.up_proj.weight", "layers.1", "visual.pos_embed.weight",
                           "layers.0.mlp.up_proj.bias"})
    EXPECT_EQ(model::gguf_name(name, 64), "") << name;
}

TEST(Names, PublishedNamesAreTheInverseOfTheReaders) {
  for (const bool text_only : {false, true}) {
    for (const char* name : {"embed_tokens.weight", "layers.3.mlp.up_proj.weight_packed",
                             "lm_head.weight", "mtp.fc.weight", "visual.merger.norm.bias"}) {
      EXPECT_EQ(model::canonical_name(convert::published_name(name, text_only)), name);
    }
  }
}

model::TextConfig large_model(ops::HeadOrder order) {
  model::TextConfig config;
  config.gdn_key_heads = 16;
  config.gdn_value_heads = 48;
  config.gdn_key_dim = config.gdn_value_dim = 128;
  config.head_order = order;
  return config;
}

// The table of formats-gguf.md 3.1 for 16 key heads and 48 value heads.
TEST(HeadOrder, TableOfTheLargeModel) {
  const auto config = large_model(ops::HeadOrder::kGrouped);
  const auto place = convert::head_place("layers.0.linear_attn.A_log", config);
  ASSERT_TRUE(place.has_value());
  const auto from = convert::moved_indices(*place, 48, config, ops::HeadOrder::kTiled);
  const std::vector<int64_t> begin(from.begin(), from.begin() + 18);
  EXPECT_EQ(begin, (std::vector<int64_t>{0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45,
                                         1, 4}));
}

TEST(HeadOrder, ThereAndBackIsWhereItWas) {
  const auto grouped = large_model(ops::HeadOrder::kGrouped);
  const auto tiled = large_model(ops::HeadOrder::kTiled);
  const auto place = convert::head_place("layers.0.linear_attn.in_proj_qkv.weight", grouped);
  ASSERT_TRUE(place.has_value());
  const auto there = convert::moved_indices(*place, 10240, grouped, ops::HeadOrder::kTiled);
  const auto back = convert::moved_indices(*place, 10240, tiled, ops::HeadOrder::kGrouped);
  for (size_t i = 0; i < there.size(); ++i)
    ASSERT_EQ(there[static_cast<size_t>(back[i])], static_cast<int64_t>(i));
  EXPECT_EQ(there[4095], 4095);  // queries and keys stay
  EXPECT_TRUE(convert::moved_indices(*place, 10240, tiled, ops::HeadOrder::kTiled).empty());
  EXPECT_FALSE(convert::head_place("layers.0.mlp.up_proj.weight", grouped).has_value());
}

TEST(CopiedConfigs, NamesFollowTheTensorsAndAGraftedHeadIsLeftAlone) {
  const Json config = *parse_json(
      R"({"quant_method":"compressed-tensors","ignore":["model.language_model.layers.0.linear_attn.in_proj_a","lm_head"]})");
  const Json out = quantize::copied_quantization(config, {true, false, true, true});
  EXPECT_EQ(out.find("ignore")->dump(),
            R"(["model.layers.0.linear_attn.in_proj_a","lm_head","re:^mtp.*"])");
}

}  // namespace
}  // namespace sluice
