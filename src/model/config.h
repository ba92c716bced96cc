// Dimensions and conventions of a model, from config.json or GGUF metadata (architecture.md section
// 2).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/checkpoint.h"
#include "ops/backend.h"

namespace sluice::model {

enum class LayerType : uint8_t { kLinearAttention, kFullAttention };

struct TextConfig {
  std::string architecture;  // "qwen3_5"
  int64_t layers = 0, hidden = 0, intermediate = 0, vocabulary = 0;
  int64_t query_heads = 0, kv_heads = 0, head_dim = 0;
  int64_t gdn_key_heads = 0, gdn_value_heads = 0, gdn_key_dim = 0, gdn_value_dim = 0,
          conv_kernel = 4;
  std::vector<LayerType> layer_types;  // one per layer
  float rms_eps = 1e-6f;
  bool tied = false;
  int64_t context = 0;      // max_position_embeddings, YaRN's factor included where it applies
  int64_t mtp_layers = 0;   // 0 or 1
  ops::RotaryTable rotary;  // tables ready to use, YaRN applied
  ops::HeadOrder head_order = ops::HeadOrder::kGrouped;
  std::vector<int32_t>
      stop_ids;  // generation_config's and the tokenizer's, as serving-template.md 1.5

  int64_t attention_layers() const;
  int64_t gdn_layers() const;
};

// Refuses by name what is recognised and not supported (qwen3_5_moe, qwen4_exp, qwen3_next, rope
// types, ...).
Result<TextConfig> read_config(const checkpoint::Checkpoint& checkpoint);

// The same from the content of a config.json alone, for a model that has no weights yet: nothing is
// taken from stored tensors or side files.
Result<TextConfig> config_of_new_model(const Json& config_json);

}  // namespace sluice::model
