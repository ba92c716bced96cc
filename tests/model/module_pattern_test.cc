// Lists of modules in quantization configs, each matched as its own loaders do.
#include "model/module_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/tensor_names.h"

namespace sluice::model {
namespace {

using Dialect = ModulePattern::Dialect;
using Strength = ModulePattern::Strength;

Strength match(std::string_view entry, Dialect dialect, std::string_view module,
               std::string_view class_name = "Linear") {
  const auto pattern = ModulePattern::parse(entry, dialect);
  EXPECT_TRUE(pattern.ok()) << entry;
  if (!pattern.ok()) return Strength::kNone;
  const auto strength = pattern->match(ModuleName(module, class_name));
  EXPECT_TRUE(strength.ok()) << entry;
  return strength.ok() ? *strength : Strength::kNone;
}

constexpr const char* kQuery = "layers.3.self_attn.q_proj";

TEST(ModulePattern, CompressedTensors) {
  const auto ct = [](std::string_view entry, std::string_view module,
                     std::string_view class_name = "Linear") {
    return match(entry, Dialect::kCompressedTensors, module, class_name);
  };
  // All spellings of one path.
  for (const char* path :
       {"model.language_model.layers.3.self_attn.q_proj", "model.layers.3.self_attn.q_proj",
        "language_model.model.layers.3.self_attn.q_proj", "layers.3.self_attn.q_proj"}) {
    EXPECT_EQ(ct(path, kQuery), Strength::kExact) << path;
  }
  EXPECT_EQ(ct("model.layers.3.self_attn.qkv_proj", kQuery),
            Strength::kExact);  // vLLM's fused name
  EXPECT_EQ(ct("Linear", kQuery), Strength::kClass);
  EXPECT_EQ(ct("Linear", "embed_tokens", "Embedding"), Strength::kNone);
  EXPECT_EQ(ct("model.layers.3", kQuery), Strength::kNone);
  EXPECT_EQ(ct("*q_proj", kQuery), Strength::kNone);  // there are no globs
  // Anchored at the start, not at the end.
  EXPECT_EQ(ct("re:.*self_attn.(q|k|v|o)_proj$", kQuery), Strength::kPattern);
  EXPECT_EQ(ct("re:.*gate", "layers.0.mlp.gate_proj"), Strength::kPattern);
  EXPECT_EQ(ct("re:self_attn", kQuery), Strength::kNone);
  EXPECT_EQ(ct("re:^mtp.*", "mtp.layers.0.self_attn.q_proj"), Strength::kPattern);
  EXPECT_EQ(ct("re:^mtp.*", kQuery), Strength::kNone);
  EXPECT_EQ(ct("re:^model\\.layers\\.\\d+\\.self_attn.*", kQuery), Strength::kPattern);
  EXPECT_EQ(ct("re:.*in_proj_[ab]$", "layers.0.linear_attn.in_proj_b"), Strength::kPattern);
  EXPECT_EQ(ct("re:.*in_proj_[ab]$", "layers.0.linear_attn.in_proj_qkv"), Strength::kNone);
}

TEST(ModulePattern, RegularExpressionsOutsideTheSubsetAreRefused) {
  for (const char* entry :
       {"re:(?=x)y", "re:(?!x)y", "re:(?<=x)y", "re:(?i)mtp", "re:(?P<n>x)", "re:(a)\\1",
        "re:\\k<n>", "re:x\\", "re:x++", "re:(*FAIL)", "re:(", "re:\\pL", "re:[a"}) {
    const auto pattern = ModulePattern::parse(entry, Dialect::kCompressedTensors);
    ASSERT_FALSE(pattern.ok()) << entry;
    EXPECT_THAT(pattern.error().why, testing::StartsWith("Q-12")) << entry;
  }
  EXPECT_FALSE(
      ModulePattern::parse("re:" + std::string(4097, 'a'), Dialect::kCompressedTensors).ok());
  EXPECT_TRUE(ModulePattern::parse("re:(?:a|b)[]x^(?=]\\.", Dialect::kCompressedTensors).ok());
}

TEST(ModulePattern, HostileRegularExpressionEnds) {
  const auto pattern = ModulePattern::parse("re:.*(a|aa)+$", Dialect::kCompressedTensors);
  ASSERT_TRUE(pattern.ok());
  const auto strength = pattern->match(ModuleName(std::string(200, 'a') + "!"));
  ASSERT_FALSE(strength.ok());
  EXPECT_THAT(strength.error().why, testing::StartsWith("Q-12"));
}

TEST(ModulePattern, ModelOptGlobs) {
  const auto glob = [](std::string_view entry, std::string_view module) {
    return match(entry, Dialect::kModelOpt, module);
  };
  EXPECT_EQ(glob("mtp*", "mtp.layers.0.mlp.up_proj"), Strength::kPattern);
  EXPECT_EQ(glob("mtp*", kQuery), Strength::kNone);
  EXPECT_EQ(glob("model.language_model.layers.3*", kQuery), Strength::kPattern);
  EXPECT_EQ(glob("*self_attn.[qk]_proj", kQuery), Strength::kPattern);
  EXPECT_EQ(glob("*self_attn.[!q]_proj", kQuery), Strength::kNone);
  EXPECT_EQ(glob("lm_head", "lm_head"), Strength::kExact);
  EXPECT_EQ(glob("self_attn", kQuery), Strength::kNone);  // vLLM's substring rule is not ours
  EXPECT_EQ(glob("language_model.model.layers.3.self_attn.q_proj", kQuery), Strength::kExact);
}

TEST(ModulePattern, GlobsAsFnmatch) {
  EXPECT_TRUE(glob_matches("a*c", "abbc"));
  EXPECT_TRUE(glob_matches("*a*b*", "xxaxxbxx"));
  EXPECT_TRUE(glob_matches("a?c", "abc"));
  EXPECT_TRUE(glob_matches("[a-c]x", "bx"));
  EXPECT_TRUE(glob_matches("[]]x", "]x"));
  EXPECT_TRUE(glob_matches("[x", "[x"));
  EXPECT_FALSE(glob_matches("[!a-c]x", "bx"));
  EXPECT_FALSE(glob_matches("a*c", "abcd"));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_FALSE(glob_matches(std::string(2000, '*') + "b", std::string(2000, 'a')));  // in no time
}

TEST(ModulePattern, Fp8) {
  const auto fp8 = [](std::string_view entry, std::string_view module) {
    return match(entry, Dialect::kFp8, module);
  };
  EXPECT_EQ(fp8("model.language_model.layers.3.self_attn.q_proj", kQuery), Strength::kExact);
  EXPECT_EQ(fp8("lm_head", "lm_head"), Strength::kExact);
  EXPECT_EQ(fp8("model.layers.1", "layers.1.mlp.up_proj"), Strength::kPattern);
  EXPECT_EQ(fp8("model.layers.1", "layers.11.mlp.up_proj"), Strength::kNone);
  EXPECT_EQ(
      fp8("model.language_model.layers.0.linear_attn.in_proj_ba", "layers.0.linear_attn.in_proj_a"),
      Strength::kExact);
}

TEST(TensorNames, EveryLayout) {
  EXPECT_EQ(canonical_name("model.layers.3.mlp.up_proj.weight"), "layers.3.mlp.up_proj.weight");
  EXPECT_EQ(canonical_name("model.language_model.layers.3.mlp.up_proj.weight"),
            "layers.3.mlp.up_proj.weight");
  EXPECT_EQ(canonical_name("language_model.model.layers.3.mlp.up_proj.weight"),
            "layers.3.mlp.up_proj.weight");
  EXPECT_EQ(canonical_name("language_model.lm_head.weight"), "lm_head.weight");
  EXPECT_EQ(canonical_name("model.mtp.fc.weight"), "mtp.fc.weight");
  EXPECT_EQ(canonical_name("model.visual.patch_embed.proj.bias"), "visual.patch_embed.proj.bias");
  EXPECT_EQ(canonical_name("vision_tower.patch_embed.proj.bias"), "visual.patch_embed.proj.bias");
  EXPECT_EQ(canonical_name("model.norm.weight"), "norm.weight");
  EXPECT_EQ(canonical_name("something.else"), "something.else");
  EXPECT_EQ(canonical_name("model.something"), "model.something");
}

TEST(TensorNames, Gguf) {
  EXPECT_EQ(canonical_gguf_name("blk.3.attn_output.weight", 64),
            "layers.3.self_attn.o_proj.weight");
  EXPECT_EQ(canonical_gguf_name("blk.0.ssm_a", 64), "layers.0.linear_attn.A_log");
  EXPECT_EQ(canonical_gguf_name("blk.0.ssm_dt.bias", 64), "layers.0.linear_attn.dt_bias");
  EXPECT_EQ(canonical_gguf_name("blk.0.ffn_up.scale", 64), "layers.0.mlp.up_proj.scale");
  EXPECT_EQ(canonical_gguf_name("output.weight", 64), "lm_head.weight");
  EXPECT_EQ(canonical_gguf_name("blk.64.nextn.eh_proj.weight", 64), "mtp.fc.weight");
  EXPECT_EQ(canonical_gguf_name("blk.64.attn_q.weight", 64),
            "mtp.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(canonical_gguf_name("blk.65.attn_q.weight", 64),
            "mtp.layers.1.self_attn.q_proj.weight");
  for (const char* name :
       {"blk.", "blk.x.attn_q.weight", "blk.3", "blk.3.", "blk.-1.attn_q.weight",
        "blk.99999999999999999999.a.b", "rope_freqs.weight", "blk.3.nextn.eh_proj.weight"}) {
    EXPECT_EQ(canonical_gguf_name(name, 64), name);
  }
}

}  // namespace
}  // namespace sluice::model
