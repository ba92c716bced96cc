// Which types llama.cpp's mixtures give, at the sizes that the specification counts.
#include "tools/quantize/gguf_mixture.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

namespace sluice {
namespace {

// Counts and sizes that the specification states for the 27B file (formats-gguf.md 5.2), both
// rules.
TEST(MixtureRule, CountsOfTheLargeModel) {
  model::TextConfig config;
  config.layers = 64;
  config.query_heads = 24;
  config.kv_heads = 4;
  for (int64_t i = 0; i < 64; ++i) {
    config.layer_types.push_back((i + 1) % 4 == 0 ? model::LayerType::kFullAttention
                                                  : model::LayerType::kLinearAttention);
  }
  const auto counts = [&](const char* mixture, bool older, bool draft) {
    std::vector<std::pair<std::string, std::vector<int64_t>>> names = {
        {"token_embd.weight", {248320, 5120}}, {"output.weight", {248320, 5120}}};
    const auto add = [&](int64_t block, const char* stem, int64_t n, int64_t k) {
      names.push_back({"blk." + std::to_string(block) + "." + stem + ".weight", {n, k}});
    };
    for (int64_t block = 0; block < (draft ? 65 : 64); ++block) {
      add(block, "ffn_gate", 17408, 5120);
      add(block, "ffn_up", 17408, 5120);
      add(block, "ffn_down", 5120, 17408);
      if (block == 64) add(block, "nextn.eh_proj", 5120, 10240);
      if (block == 64 || (block + 1) % 4 == 0) {
        add(block, "attn_q", 12288, 5120);
        add(block, "attn_k", 1024, 5120);
        add(block, "attn_v", 1024, 5120);
        add(block, "attn_output", 5120, 6144);
      } else {
        add(block, "attn_qkv", 10240, 5120);
        add(block, "attn_gate", 6144, 5120);
        add(block, "ssm_alpha", 48, 5120);
        add(block, "ssm_beta", 48, 5120);
        add(block, "ssm_out", 5120, 6144);
      }
    }
    const quantize::MixtureRule rule(*quantize::find_mixture(mixture), {older, false}, config,
                                     draft ? 65 : 64);
    std::map<DType, int> sums;
    for (const auto& [name, shape] : names) ++sums[rule.type(name, shape)];
    return sums;
  };
  using Sums = std::map<DType, int>;
  EXPECT_EQ(counts("q4_k_m", false, false), (Sums{{DType::kQ4_K, 433}, {DType::kQ6_K, 65}}));
  EXPECT_EQ(counts("q4_k_m", false, true), (Sums{{DType::kQ4_K, 439}, {DType::kQ6_K, 67}}));
  EXPECT_EQ(counts("q5_k_m", false, true), (Sums{{DType::kQ5_K, 439}, {DType::kQ6_K, 67}}));
  EXPECT_EQ(counts("q4_k_m", true, false),
            (Sums{{DType::kQ4_K, 407}, {DType::kQ5_K, 48}, {DType::kQ6_K, 43}}));
  EXPECT_EQ(counts("q5_k_m", true, false), (Sums{{DType::kQ5_K, 407}, {DType::kQ6_K, 91}}));
  EXPECT_EQ(counts("q6_k", false, true), (Sums{{DType::kQ6_K, 506}}));
}

TEST(MixtureRule, RowsThatAreNotSuperBlocksFallBack) {
  model::TextConfig config;
  config.query_heads = config.kv_heads = 1;
  const auto type = [&](const char* mixture, const char* name, int64_t columns) {
    return quantize::MixtureRule(*quantize::find_mixture(mixture), {}, config, 4)
        .type(name, {64, columns});
  };
  EXPECT_EQ(type("q4_k_m", "blk.2.attn_q.weight", 320), DType::kQ5_0);
  EXPECT_EQ(type("q5_k_m", "blk.2.attn_q.weight", 320), DType::kQ5_1);
  EXPECT_EQ(type("q6_k", "blk.2.attn_q.weight", 320), DType::kQ8_0);
  EXPECT_EQ(type("q4_k_m", "output.weight", 320), DType::kQ8_0);
  EXPECT_EQ(type("iq4_xs", "blk.2.attn_q.weight", 320), DType::kIQ4_NL);
  EXPECT_EQ(type("q8_0", "blk.2.attn_q.weight", 40), DType::kF16);
}

}  // namespace
}  // namespace sluice
