// config.json and GGUF metadata to dimensions: every layout accepted, everything unsupported
// refused by name.
#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/forge.h"
#include "support/paths.h"

namespace sluice::model {
namespace {

using checkpoint::put_file;
using testing::HasSubstr;

Json parsed(const std::string& text) {
  const auto json = parse_json(text);
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? *json : Json();
}

class ConfigJson : public ::testing::Test {
 protected:
  ConfigJson() {
    const auto text = read_file(test::tests_folder() / "model/data/tiny/config.json", 1 << 20);
    config_ = parsed(text.ok() ? *text : "");
    files_ = {{"generation_config.json", parsed(R"({"eos_token_id": [268, 266]})")}};
  }

  Result<TextConfig> read() { return read(config_); }
  Result<TextConfig> read(const Json& config) {
    put_file(folder_.path() / "config.json", config.dump());
    for (const auto& [name, json] : files_) put_file(folder_.path() / name, json.dump());
    put_file(folder_.path() / "model.safetensors",
             checkpoint::safetensors(header_, std::string(2, '\0')));
    file_ = std::make_unique<Result<checkpoint::Checkpoint>>(
        checkpoint::Checkpoint::open(folder_.path()));
    if (!file_->ok()) return file_->error();
    return read_config(**file_);
  }
  void expect_refused(const std::string& part) {
    const auto config = read();
    ASSERT_FALSE(config.ok()) << part;
    EXPECT_EQ(config.error().code, ErrorCode::kBadInput);
    EXPECT_THAT(config.error().message(), HasSubstr(part));
  }

  Json config_;
  std::vector<std::pair<std::string, Json>> files_;
  std::string header_ = R"({"lm_head.weight":{"dtype":"BF16","shape":[1,1],"data_offsets":[0,2]}})";

 private:
  test::TemporaryFolder folder_;
  std::unique_ptr<Result<checkpoint::Checkpoint>> file_;
};

TEST_F(ConfigJson, TextOnly) {
  const auto config = read();
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->architecture, "qwen3_5");
  EXPECT_EQ(config->layers, 4);
  EXPECT_EQ(config->hidden, 48);
  EXPECT_EQ(config->vocabulary, 296);
  EXPECT_EQ(config->gdn_value_heads, 6);
  EXPECT_EQ(config->gdn_value_dim, 12);
  EXPECT_EQ(config->attention_layers(), 1);
  EXPECT_EQ(config->gdn_layers(), 3);
  EXPECT_EQ(config->layer_types[3], LayerType::kFullAttention);
  EXPECT_EQ(config->mtp_layers, 1);
  EXPECT_EQ(config->context, 2048);
  EXPECT_FALSE(config->tied);
  EXPECT_EQ(config->rotary.inverse_frequencies.size(), 4u);
  EXPECT_EQ(config->rotary.components, (std::vector<uint8_t>{0, 1, 2, 0}));
  EXPECT_EQ(config->head_order, ops::HeadOrder::kGrouped);
  EXPECT_EQ(config->stop_ids, (std::vector<int32_t>{266, 268}));
}

TEST_F(ConfigJson, Multimodal) {
  Json root = Json::object();
  root.set("architectures", Json::Array{"Qwen3_5ForConditionalGeneration"});
  root.set("model_type", "qwen3_5");
  Json inner = config_;
  inner.set("architectures", nullptr);
  root.set("text_config", inner);
  root.set("tie_word_embeddings", false);
  config_ = root;
  ASSERT_TRUE(read().ok());
  // The two places of tie_word_embeddings must agree.
  config_.set("tie_word_embeddings", true);
  expect_refused("tie_word_embeddings");
}

TEST_F(ConfigJson, FlattenedUnderTheOuterModelType) {
  config_.set("model_type", "qwen3_5");
  EXPECT_TRUE(read().ok());
}

TEST_F(ConfigJson, TiedFollowsStorageWhereUnsaid) {
  config_.set("tie_word_embeddings", nullptr);
  auto config = read();
  ASSERT_TRUE(config.ok());
  EXPECT_FALSE(config->tied);
  header_ = R"({"model.norm.weight":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})";
  config = read();
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->tied);
}

TEST_F(ConfigJson, OldRopeLayout) {
  const auto wanted = read();
  ASSERT_TRUE(wanted.ok());
  config_.set("rope_parameters", nullptr);
  config_.set("rope_theta", 10000000);
  config_.set("partial_rotary_factor", 0.25);
  config_.set("rope_scaling",
              parsed(R"({"type":"default","mrope_section":[2,1,1],"mrope_interleaved":true})"));
  const auto config = read();
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->rotary.inverse_frequencies, wanted->rotary.inverse_frequencies);
  EXPECT_EQ(config->rotary.components, wanted->rotary.components);
}

TEST_F(ConfigJson, RopeContradictionsAreRefused) {
  config_.set("rope_theta", 1e7);  // equal, in another spelling
  EXPECT_TRUE(read().ok());
  config_.set("rope_theta", 10000);
  expect_refused("rope_theta");
  config_.set("rope_theta", nullptr);
  config_.set("rope_scaling", parsed(R"({"rope_type":"yarn","factor":4})"));
  expect_refused("contradict");
  config_.set("rope_scaling", nullptr);
  config_.set("partial_rotary_factor", 0.5);
  expect_refused("partial_rotary_factor");
}

TEST_F(ConfigJson, RopeMistakes) {
  const Json original = *config_.find("rope_parameters");
  const std::pair<const char*, const char*> cases[] = {
      {R"({"rope_theta":null})", "rope_theta is missing"},
      {R"({"mrope_interleaved":false})", "mrope_interleaved"},
      {R"({"mrope_section":[2,1,2]})", "mrope_section"},
      {R"({"mrope_section":[2,2]})", "mrope_section"},
      {R"({"rope_type":"linear","factor":2})", "\"linear\""},
      {R"({"rope_type":"dynamic","factor":2})", "\"dynamic\""},
      {R"({"rope_type":"llama3","factor":2})", "\"llama3\""},
      {R"({"rope_type":"longrope","factor":2})", "\"longrope\""},
      {R"({"rope_type":"proportional"})", "\"proportional\""},
      {R"({"partial_rotary_factor":0})", "partial_rotary_factor"},
      {R"({"rope_theta":"big"})", "rope_theta"},
      {R"({"rope_type":"yarn","factor":0})", "rope factor"},
      {R"({"rope_type":"yarn"})", "factor"},
      {R"({"rope_theta":-1})", "rope_theta"}};
  for (const auto& [change, part] : cases) {
    *config_.find("rope_parameters") = original;
    const Json changes = parsed(change);
    for (const auto& [key, value] : changes.members())
      config_.find("rope_parameters")->set(key, value);
    expect_refused(part);
  }
}

TEST_F(ConfigJson, YarnStretchesTheContext) {
  const auto plain = read();
  Json& rope = *config_.find("rope_parameters");
  rope.set("rope_type", "yarn");
  rope.set("factor", 4.0);
  rope.set("original_max_position_embeddings", 2048);
  auto config = read();
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->context, 8192);
  EXPECT_NEAR(config->rotary.attention_factor, 1.1386294, 1e-6);
  EXPECT_NE(config->rotary.inverse_frequencies, plain->rotary.inverse_frequencies);
  // max_position_embeddings may already be the stretched one.
  config_.set("max_position_embeddings", 1048576);
  config_.find("rope_parameters")->set("factor", 512);
  config = read();
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->context, 1048576);
  // Without the original context the stated one is the original.
  config_.set("max_position_embeddings", 2048);
  config_.find("rope_parameters")->set("factor", 2);
  config_.find("rope_parameters")->set("original_max_position_embeddings", nullptr);
  config = read();
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->context, 4096);
}

TEST_F(ConfigJson, UnsupportedArchitecturesAreNamedAndExplained) {
  const std::pair<const char*, const char*> cases[] = {
      {"qwen3_5_moe", "experts"},         {"qwen3_5_moe_text", "experts"},
      {"qwen4_exp", "hyper-connections"}, {"qwen4_exp_text", "n-gram"},
      {"qwen3_next", "in_proj_qkvz"},     {"llama", "not of the Qwen3.5 family"}};
  for (const auto& [type, part] : cases) {
    config_.set("model_type", type);
    expect_refused(part);
    expect_refused(type);
  }
  config_.set("model_type", "qwen3_5_text");
  config_.set("architectures", Json::Array{"Qwen3_5ForSequenceClassification"});
  expect_refused("Qwen3_5ForSequenceClassification");
  config_.set("architectures", Json::Array{"Qwen3_5MoeForCausalLM"});
  expect_refused("Qwen3_5MoeForCausalLM");
}

TEST_F(ConfigJson, SwitchesThatWouldChangeTheArithmetic) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"attention_bias":true})", "attention_bias"},
      {R"({"attn_output_gate":false})", "attn_output_gate"},
      {R"({"output_gate_type":"sigmoid"})", "output_gate_type"},
      {R"({"hidden_act":"gelu"})", "hidden_act"},
      {R"({"layer_scale":true})", "layer_scale"},
      {R"({"use_sliding_window":true})", "use_sliding_window"},
      {R"({"attention_bias":"no"})", "attention_bias"}};
  const Json original = config_;
  for (const auto& [change, part] : cases) {
    config_ = original;
    const Json changes = parsed(change);
    for (const auto& [key, value] : changes.members()) config_.set(key, value);
    expect_refused(part);
  }
  config_ = original;
  for (const char* gate : {"swish", "silu"}) {
    config_.set("output_gate_type", gate);
    EXPECT_TRUE(read().ok()) << gate;
  }
}

TEST_F(ConfigJson, LayerTypes) {
  config_.set("layer_types", nullptr);
  config_.set("full_attention_interval", 2);
  auto config = read();
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->attention_layers(), 2);
  EXPECT_EQ(config->layer_types[1], LayerType::kFullAttention);
  config_.set("full_attention_interval", nullptr);  // 4 where nothing is said
  config = read();
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->attention_layers(), 1);
  config_.set("full_attention_interval", 0);
  expect_refused("full_attention_interval");
  config_.set("layer_types", Json::Array{"linear_attention"});
  expect_refused("layer_types has 1");
  config_.set("layer_types", Json::Array{"linear_attention", "linear_attention",
                                         "sliding_attention", "full_attention"});
  expect_refused("sliding_attention");
}

TEST_F(ConfigJson, Geometry) {
  const Json original = config_;
  for (const char* key :
       {"num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size",
        "num_attention_heads", "num_key_value_heads", "head_dim", "linear_num_key_heads",
        "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim",
        "linear_conv_kernel_dim", "max_position_embeddings"}) {
    for (const Json& bad : {Json(nullptr), Json("8"), Json(0), Json(-1), Json(int64_t{1} << 40)}) {
      if (std::string(key) == "max_position_embeddings" && bad == Json(int64_t{1} << 40)) continue;
      config_ = original;
      config_.set(key, bad);
      EXPECT_FALSE(read().ok()) << key << " " << bad.dump();
    }
  }
  config_ = original;
  config_.set("linear_num_value_heads", 5);
  expect_refused("GDN value heads 5");
  config_ = original;
  config_.set("rms_norm_eps", 0);
  expect_refused("rms_norm_eps");
}

TEST_F(ConfigJson, StopIds) {
  config_.set("eos_token_id", 3);
  files_ = {
      {"generation_config.json", parsed(R"({"eos_token_id": [7, 5, 100000]})")},
      {"tokenizer_config.json",
       parsed(
           R"({"added_tokens_decoder":{"11":{"content":"<|im_end|>"},"12":{"content":"<think>"},"9":{"content":"<|endoftext|>"}}})")}};
  const auto config = read();
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->stop_ids,
            (std::vector<int32_t>{3, 5, 7, 9, 11}));  // 100000 is outside the vocabulary
  config_.set("eos_token_id", "end");
  expect_refused("eos_token_id");
}

TEST_F(ConfigJson, NoConfigAtAll) {
  config_ = Json::Array{};
  expect_refused("config.json");
  config_ = Json::object();
  expect_refused("model_type is missing");
}

TEST_F(ConfigJson, PublishedFiles) {
  SLUICE_REQUIRE_SHARED(folder, "data/qwen36-configs");
  int dense = 0, experts = 0;
  files_.clear();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (!name.ends_with("_config.json") || name.find("hf_quant") != std::string::npos) continue;
    const auto text = read_file(entry.path(), 1 << 24);
    ASSERT_TRUE(text.ok());
    const auto config = read(parsed(*text));
    if (name.find("-A") != std::string::npos && name.find("B-A") == std::string::npos) continue;
    if (name.find("B-A") != std::string::npos) {
      ASSERT_FALSE(config.ok()) << name;
      EXPECT_THAT(config.error().message(), HasSubstr("qwen3_5_moe")) << name;
      ++experts;
      continue;
    }
    ASSERT_TRUE(config.ok()) << name << config.error().message();
    EXPECT_EQ(config->head_dim, 256) << name;
    EXPECT_EQ(config->rotary.inverse_frequencies.size(), 32u);
    EXPECT_EQ(std::bit_cast<uint32_t>(config->rotary.inverse_frequencies[1]), 0x3f1ab32bu);
    EXPECT_EQ(config->layers, 4 * config->attention_layers()) << name;
    EXPECT_EQ(config->mtp_layers, 1) << name;
    if (name.find("27B") != std::string::npos) {
      EXPECT_EQ(config->gdn_value_heads, 48);
      EXPECT_EQ(config->layers, 64);
    }
    ++dense;
  }
  EXPECT_GE(dense, 8);
  EXPECT_GE(experts, 3);
}

TEST(ConfigGoldens, MixtureOfExpertsIsRefusedByName) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/moe-r2");
  const auto file = checkpoint::Checkpoint::open(folder);
  ASSERT_TRUE(file.ok());
  const auto config = read_config(*file);
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.error().message(), HasSubstr("qwen3_5_moe_text"));
  EXPECT_THAT(config.error().message(), HasSubstr("experts"));
}

// ---------------------------------------------- GGUF

class ConfigGguf : public ::testing::Test {
 protected:
  using Key =
      std::pair<std::string, std::function<void(checkpoint::GgufForge&, const std::string&)>>;

  ConfigGguf() {
    keys_ = {{"general.architecture", text("qwen35")},
             {"qwen35.block_count", u32(5)},
             {"qwen35.nextn_predict_layers", u32(1)},
             {"qwen35.context_length", u32(2048)},
             {"qwen35.embedding_length", u32(48)},
             {"qwen35.feed_forward_length", u32(64)},
             {"qwen35.attention.head_count", u32(2)},
             {"qwen35.attention.head_count_kv", u32(1)},
             {"qwen35.attention.key_length", u32(32)},
             {"qwen35.attention.value_length", u32(32)},
             {"qwen35.attention.layer_norm_rms_epsilon", f32(1e-6f)},
             {"qwen35.rope.freq_base", f32(1e7f)},
             {"qwen35.rope.dimension_count", u32(8)},
             {"qwen35.rope.dimension_sections", i32s({2, 1, 1, 0})},
             {"qwen35.full_attention_interval", u32(4)},
             {"qwen35.ssm.conv_kernel", u32(4)},
             {"qwen35.ssm.state_size", u32(16)},
             {"qwen35.ssm.group_count", u32(2)},
             {"qwen35.ssm.time_step_rank", u32(6)},
             {"qwen35.ssm.inner_size", u32(96)},
             {"tokenizer.ggml.eos_token_id", u32(2)}};
  }
  using Value = std::function<void(checkpoint::GgufForge&, const std::string&)>;
  static Value text(std::string value) {
    return [value](auto& forge, const auto& key) { forge.text(key, value); };
  }
  static Value u32(uint32_t value) {
    return [value](auto& forge, const auto& key) { forge.u32(key, value); };
  }
  static Value f32(float value) {
    return [value](auto& forge, const auto& key) { forge.key(key, 6, checkpoint::raw(value)); };
  }
  static Value i32s(std::vector<int32_t> values) {
    return [values](auto& forge, const auto& key) {
      std::string bytes =
          checkpoint::raw(uint32_t{5}) + checkpoint::raw(static_cast<uint64_t>(values.size()));
      for (const int32_t value : values) bytes += checkpoint::raw(value);
      forge.key(key, 9, bytes);
    };
  }
  static Value bools(std::string values) {
    return [values](auto& forge, const auto& key) {
      forge.key(key, 9,
                checkpoint::raw(uint32_t{7}) +
                    checkpoint::raw(static_cast<uint64_t>(values.size())) + values);
    };
  }
  static Value strings(std::vector<std::string> values) {
    return [values](auto& forge, const auto& key) {
      std::string bytes =
          checkpoint::raw(uint32_t{8}) + checkpoint::raw(static_cast<uint64_t>(values.size()));
      for (const std::string& value : values) bytes += checkpoint::GgufForge::string(value);
      forge.key(key, 9, bytes);
    };
  }

  void set(const std::string& key, Value value) {
    for (auto& [name, old] : keys_) {
      if (name == key) {
        old = std::move(value);
        return;
      }
    }
    keys_.emplace_back(key, std::move(value));
  }
  void drop(const std::string& key) {
    std::erase_if(keys_, [&](const auto& entry) { return entry.first == key; });
  }

  Result<TextConfig> read() {
    checkpoint::GgufForge forge;
    for (const auto& [name, value] : keys_) value(forge, name);
    forge.tensor("token_embd.weight", {48, 5}, 0, 0);
    const std::filesystem::path path = folder_.path() / "model.gguf";
    put_file(path, forge.data(std::string(48 * 5 * 4, '\0')).bytes());
    file_ = std::make_unique<Result<checkpoint::Checkpoint>>(checkpoint::Checkpoint::open(path));
    if (!file_->ok()) return file_->error();
    return read_config(**file_);
  }
  void expect_refused(const std::string& part) {
    const auto config = read();
    ASSERT_FALSE(config.ok()) << part;
    EXPECT_THAT(config.error().message(), HasSubstr(part));
  }

  std::vector<Key> keys_;

 private:
  test::TemporaryFolder folder_;
  std::unique_ptr<Result<checkpoint::Checkpoint>> file_;
};

TEST_F(ConfigGguf, Complete) {
  set("tokenizer.ggml.tokens", strings({"a", "<|endoftext|>", "<|im_end|>", "b", "<|im_start|>"}));
  const auto config = read();
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->layers, 4);
  EXPECT_EQ(config->mtp_layers, 1);
  EXPECT_EQ(config->attention_layers(), 1);
  EXPECT_EQ(config->vocabulary, 5);
  EXPECT_EQ(config->gdn_key_dim, 16);
  EXPECT_EQ(config->gdn_value_dim, 16);
  EXPECT_EQ(config->head_order, ops::HeadOrder::kTiled);
  EXPECT_TRUE(config->tied);  // there is no output.weight
  EXPECT_EQ(config->stop_ids, (std::vector<int32_t>{1, 2}));
}

TEST_F(ConfigGguf, RecurrentLayersOverrideTheInterval) {
  set("qwen35.attention.recurrent_layers", bools({'\0', '\1', '\1', '\0', '\0'}));
  const auto config = read();
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->layer_types.front(), LayerType::kFullAttention);
  EXPECT_EQ(config->attention_layers(), 2);
  set("qwen35.attention.recurrent_layers", bools({'\0', '\1', '\1', '\0', '\1'}));
  expect_refused("GG-21: recurrent_layers marks the draft block");
  set("qwen35.attention.recurrent_layers", bools({'\0', '\1'}));
  expect_refused("GG-21: recurrent_layers has 2");
}

TEST_F(ConfigGguf, MissingKeys) {
  const std::vector<Key> all = keys_;
  for (const char* key :
       {"block_count", "context_length", "embedding_length", "feed_forward_length",
        "attention.head_count", "attention.layer_norm_rms_epsilon", "rope.freq_base",
        "rope.dimension_sections", "ssm.conv_kernel", "ssm.state_size", "ssm.group_count",
        "ssm.time_step_rank", "ssm.inner_size"}) {
    keys_ = all;
    drop(std::string("qwen35.") + key);
    expect_refused("GG-15");
    expect_refused(key);
  }
}

TEST_F(ConfigGguf, Contradictions) {
  const std::vector<Key> all = keys_;
  const std::pair<const char*, Value> cases[] = {
      {"qwen35.block_count", u32(0)},
      {"qwen35.block_count", u32(1'000'000'000)},
      {"qwen35.nextn_predict_layers", u32(5)},
      {"qwen35.attention.head_count", u32(0)},
      {"qwen35.attention.head_count_kv", u32(0)},
      {"qwen35.attention.head_count_kv", u32(3)},
      {"qwen35.ssm.group_count", u32(4)},
      {"qwen35.ssm.inner_size", u32(97)},
      {"qwen35.rope.dimension_count", u32(64)},
      {"qwen35.rope.dimension_sections", i32s({2, 1, 2, 0})},
      {"qwen35.attention.layer_norm_rms_epsilon", f32(std::numeric_limits<float>::quiet_NaN())},
      {"qwen35.attention.layer_norm_rms_epsilon", f32(-1)},
      {"qwen35.rope.freq_base", f32(0)},
      {"qwen35.attention.value_length", u32(16)},
      {"qwen35.vocab_size", u32(6)},
      {"qwen35.full_attention_interval", u32(0)},
      {"qwen35.embedding_length", text("48")},
      {"qwen35.rope.scaling.type", text("linear")}};
  for (const auto& [key, value] : cases) {
    keys_ = all;
    set(key, value);
    EXPECT_FALSE(read().ok()) << key;
  }
}

TEST_F(ConfigGguf, Yarn) {
  set("qwen35.rope.scaling.type", text("yarn"));
  expect_refused("rope.scaling.factor");
  set("qwen35.rope.scaling.factor", f32(4));
  set("qwen35.rope.scaling.original_context_length", u32(2048));
  auto config = read();
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->context, 8192);
  EXPECT_NEAR(config->rotary.attention_factor, 1.1386294, 1e-6);
  set("qwen35.rope.scaling.attn_factor", f32(0.5));  // multiplies
  config = read();
  ASSERT_TRUE(config.ok());
  EXPECT_NEAR(config->rotary.attention_factor, 0.5693147, 1e-6);
  set("qwen35.rope.scaling.yarn_log_multiplier", f32(0.1f));
  expect_refused("yarn_log_multiplier");
}

TEST_F(ConfigGguf, ForeignArchitectures) {
  for (const char* name : {"qwen35moe", "qwen3next", "llama"}) {
    set("general.architecture", text(name));
    expect_refused(name);
  }
}

}  // namespace
}  // namespace sluice::model
