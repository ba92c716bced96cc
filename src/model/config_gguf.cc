// GGUF metadata of architecture qwen35 to TextConfig (formats-gguf.md section 2, rules GG-15 and
// GG-21).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "model/config_readers.h"

namespace sluice::model {
namespace {

using checkpoint::GgufMetadata;

constexpr const char* kSource = "GGUF metadata";

std::string full_key(std::string_view key) { return fmt::format("qwen35.{}", key); }

Status read_integer(const GgufMetadata& metadata, std::string_view key, bool required,
                    int64_t& out) {
  SLUICE_ASSIGN(const std::optional<uint64_t> value, metadata.unsigned_integer(full_key(key)));
  if (!value) {
    if (!required) return {};
    return bad_input(kSource, fmt::format("GG-15: {} is missing", full_key(key)),
                     "convert the model again");
  }
  if (*value > INT32_MAX)
    return bad_input(kSource, fmt::format("GG-21: {} is {}", full_key(key), *value));
  out = static_cast<int64_t>(*value);
  return {};
}

Result<double> require_real(const GgufMetadata& metadata, std::string_view key) {
  SLUICE_ASSIGN(const std::optional<double> value, metadata.real(full_key(key)));
  if (!value)
    return bad_input(kSource, fmt::format("GG-15: {} is missing", full_key(key)),
                     "convert the model again");
  return *value;
}

// block_count counts the draft block as well; it is the last one.
Status read_blocks(const GgufMetadata& metadata, TextConfig& out) {
  int64_t blocks = 0;
  SLUICE_TRY(read_integer(metadata, "block_count", true, blocks));
  SLUICE_TRY(read_integer(metadata, "nextn_predict_layers", false, out.mtp_layers));
  if (blocks < 1 || blocks > 4096)
    return bad_input(kSource, fmt::format("GG-21: block_count is {}", blocks));
  if (out.mtp_layers >= blocks) {
    return bad_input(kSource, fmt::format("GG-21: nextn_predict_layers {} of {} blocks",
                                          out.mtp_layers, blocks));
  }
  out.layers = blocks - out.mtp_layers;

  SLUICE_ASSIGN(const auto recurrent, metadata.integers(full_key("attention.recurrent_layers")));
  int64_t interval = 4;
  SLUICE_TRY(read_integer(metadata, "full_attention_interval", false, interval));
  if (interval < 1)
    return bad_input(kSource, fmt::format("GG-21: full_attention_interval is {}", interval));
  if (recurrent && static_cast<int64_t>(recurrent->size()) != blocks) {
    return bad_input(kSource, fmt::format("GG-21: recurrent_layers has {} entries for {} blocks",
                                          recurrent->size(), blocks));
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const bool linear =
        recurrent ? (*recurrent)[static_cast<size_t>(block)] != 0 : (block + 1) % interval != 0;
    if (block < out.layers) {
      out.layer_types.push_back(linear ? LayerType::kLinearAttention : LayerType::kFullAttention);
    } else if (recurrent && linear) {
      return bad_input(kSource,
                       fmt::format("GG-21: recurrent_layers marks the draft block {}", block));
    }
  }
  return {};
}

Status read_heads(const GgufMetadata& metadata, TextConfig& out) {
  SLUICE_TRY(read_integer(metadata, "attention.head_count", true, out.query_heads));
  out.kv_heads = out.query_heads;  // the key's absence means no grouping
  SLUICE_TRY(read_integer(metadata, "attention.head_count_kv", false, out.kv_heads));
  if (out.query_heads < 1) return bad_input(kSource, "GG-21: attention.head_count is 0");
  out.head_dim = out.hidden / out.query_heads;
  SLUICE_TRY(read_integer(metadata, "attention.key_length", false, out.head_dim));
  int64_t value_length = out.head_dim;
  SLUICE_TRY(read_integer(metadata, "attention.value_length", false, value_length));
  if (value_length != out.head_dim) {
    return bad_input(
        kSource,
        fmt::format("attention.key_length {} and value_length {} differ, which is not supported",
                    out.head_dim, value_length));
  }
  return {};
}

// state_size is the width of both key and value heads: GGUF has no name for two different ones.
Status read_gdn(const GgufMetadata& metadata, TextConfig& out) {
  int64_t inner = 0;
  SLUICE_TRY(read_integer(metadata, "ssm.conv_kernel", true, out.conv_kernel));
  SLUICE_TRY(read_integer(metadata, "ssm.state_size", true, out.gdn_key_dim));
  SLUICE_TRY(read_integer(metadata, "ssm.group_count", true, out.gdn_key_heads));
  SLUICE_TRY(read_integer(metadata, "ssm.time_step_rank", true, out.gdn_value_heads));
  SLUICE_TRY(read_integer(metadata, "ssm.inner_size", true, inner));
  if (out.gdn_value_heads < 1 || inner % out.gdn_value_heads != 0) {
    return bad_input(
        kSource, fmt::format("GG-21: ssm.inner_size {} over {} heads", inner, out.gdn_value_heads));
  }
  out.gdn_value_dim = inner / out.gdn_value_heads;
  out.head_order =
      ops::HeadOrder::kTiled;  // cannot be seen in the file; holds for the architecture (3.1)
  return {};
}

Result<YarnParameters> read_yarn(const GgufMetadata& metadata, int64_t context) {
  YarnParameters yarn;
  const auto key = [](std::string_view name) {
    return full_key(fmt::format("rope.scaling.{}", name));
  };
  SLUICE_ASSIGN(const std::optional<double> factor, metadata.real(key("factor")));
  if (!factor) return bad_input(kSource, fmt::format("GG-15: {} is missing", key("factor")));
  yarn.factor = *factor;
  SLUICE_ASSIGN(const std::optional<uint64_t> original,
                metadata.unsigned_integer(key("original_context_length")));
  yarn.original_context =
      static_cast<double>(original.value_or(static_cast<uint64_t>(std::max<int64_t>(context, 0))));
  for (const auto& [name, target] : {std::pair{"yarn_beta_fast", &yarn.beta_fast},
                                     std::pair{"yarn_beta_slow", &yarn.beta_slow}}) {
    SLUICE_ASSIGN(const std::optional<double> beta, metadata.real(key(name)));
    if (beta) *target = *beta;
  }
  // These multiply what the factor gives, unlike attention_factor in config.json, which replaces
  // it.
  double multiplier = 1.0;
  for (const char* name : {"attn_factor", "yarn_attn_factor"}) {
    SLUICE_ASSIGN(const std::optional<double> value, metadata.real(key(name)));
    if (value) multiplier = *value;
  }
  if (multiplier != 1.0) {
    yarn.attention_factor =
        multiplier * (yarn.factor > 1 ? 0.1 * std::log(yarn.factor) + 1.0 : 1.0);
  }
  for (const auto& [name, neutral] :
       {std::pair{"yarn_ext_factor", 1.0}, std::pair{"yarn_log_multiplier", 0.0}}) {
    SLUICE_ASSIGN(const std::optional<double> value, metadata.real(key(name)));
    if (value && *value != neutral) {
      return bad_input(kSource, fmt::format("{} is {}, which is not supported", key(name), *value),
                       "no published file of this family sets it");
    }
  }
  return yarn;
}

Result<RotaryParameters> read_rotary(const GgufMetadata& metadata, TextConfig& out) {
  RotaryParameters rotary;
  SLUICE_ASSIGN(rotary.theta, require_real(metadata, "rope.freq_base"));
  rotary.dims = out.head_dim;
  SLUICE_TRY(read_integer(metadata, "rope.dimension_count", false, rotary.dims));
  SLUICE_ASSIGN(const auto sections, metadata.integers(full_key("rope.dimension_sections")));
  if (!sections)
    return bad_input(kSource, "GG-15: qwen35.rope.dimension_sections is missing",
                     "convert the model again");
  if (sections->size() < 3 || sections->size() > 4) {
    return bad_input(
        kSource, fmt::format("GG-21: rope.dimension_sections has {} entries", sections->size()));
  }
  int64_t sum = 0;
  for (size_t i = 0; i < sections->size(); ++i) {
    const int64_t count = (*sections)[i];
    if (count < 0 || count > rotary.dims)
      return bad_input(kSource, fmt::format("GG-21: rope section of {}", count));
    if (i < 3) rotary.sections[i] = count;
    sum += count;
  }
  if (sum != rotary.dims / 2) {
    return bad_input(kSource,
                     fmt::format("GG-21: rope sections sum to {}, there are {} rotary pairs", sum,
                                 rotary.dims / 2));
  }
  SLUICE_ASSIGN(const std::optional<std::string> type,
                metadata.string(full_key("rope.scaling.type")));
  if (type && *type == "yarn") {
    SLUICE_ASSIGN(rotary.yarn, read_yarn(metadata, out.context));
    const double reach = rotary.yarn->original_context * rotary.yarn->factor;
    if (std::isfinite(reach) && reach < 1e9)
      out.context = std::max(out.context, static_cast<int64_t>(reach));
  } else if (type && *type != "none") {
    return bad_input(kSource, fmt::format("rope scaling type \"{}\" is not supported", *type),
                     "none and yarn are");
  }
  return rotary;
}

// The converter stores one end id; the second stop id is not in the file and is found by its text
// (2.1).
Status read_tokens(const GgufMetadata& metadata, TextConfig& out) {
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    SLUICE_ASSIGN(const std::optional<uint64_t> id, metadata.unsigned_integer(key));
    if (id && *id <= INT32_MAX) out.stop_ids.push_back(static_cast<int32_t>(*id));
  }
  // Read in place: the list has a quarter of a million strings.
  const checkpoint::GgufValue* value = metadata.find("tokenizer.ggml.tokens");
  const auto* array = value == nullptr ? nullptr : std::get_if<checkpoint::GgufArray>(value);
  const auto* tokens = array == nullptr ? nullptr : std::get_if<std::vector<std::string>>(array);
  if (tokens == nullptr) return {};
  for (size_t id = 0; id < tokens->size() && id <= INT32_MAX; ++id) {
    if ((*tokens)[id] == "<|im_end|>" || (*tokens)[id] == "<|endoftext|>")
      out.stop_ids.push_back(static_cast<int32_t>(id));
  }
  return {};
}

// Rows of the embedding; the optional vocab_size key has to agree (GG-21).
Status read_vocabulary(const checkpoint::Checkpoint& checkpoint, const GgufMetadata& metadata,
                       TextConfig& out) {
  const checkpoint::StoredTensor* embedding = checkpoint.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return bad_input(kSource, "GG-16: token_embd.weight is missing or not a matrix",
                     "is this a complete model file?");
  }
  out.vocabulary = embedding->shape[0];
  int64_t stated = out.vocabulary;
  SLUICE_TRY(read_integer(metadata, "vocab_size", false, stated));
  if (stated != out.vocabulary) {
    return bad_input(kSource, fmt::format("GG-21: vocab_size is {}, the embedding has {} rows",
                                          stated, out.vocabulary));
  }
  out.tied = checkpoint.find("output.weight") == nullptr;
  return {};
}

}  // namespace

Result<TextConfig> read_gguf_config(const checkpoint::Checkpoint& checkpoint) {
  const GgufMetadata& metadata = *checkpoint.gguf();
  SLUICE_ASSIGN(const std::optional<std::string> architecture,
                metadata.string("general.architecture"));
  if (!architecture) return bad_input(kSource, "GG-15: general.architecture is missing");
  if (*architecture != "qwen35") return refuse_architecture(kSource, *architecture);

  TextConfig out;
  out.architecture = "qwen3_5";
  SLUICE_TRY(read_blocks(metadata, out));
  SLUICE_TRY(read_integer(metadata, "context_length", true, out.context));
  SLUICE_TRY(read_integer(metadata, "embedding_length", true, out.hidden));
  SLUICE_TRY(read_integer(metadata, "feed_forward_length", true, out.intermediate));
  SLUICE_TRY(read_heads(metadata, out));
  SLUICE_TRY(read_gdn(metadata, out));
  SLUICE_ASSIGN(const double eps, require_real(metadata, "attention.layer_norm_rms_epsilon"));
  out.rms_eps = static_cast<float>(eps);
  SLUICE_TRY(read_vocabulary(checkpoint, metadata, out));
  SLUICE_ASSIGN(const RotaryParameters rotary, read_rotary(metadata, out));
  SLUICE_TRY(read_tokens(metadata, out));
  SLUICE_TRY(finish_config(rotary, kSource, out));
  return out;
}

}  // namespace sluice::model
