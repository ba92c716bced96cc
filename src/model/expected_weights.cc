#include "model/expected_weights.h"

#include <fmt/format.h>

namespace sluice::model {
namespace {

using Kind = ExpectedWeight::Kind;

// Adds the weights of one layer (or of the model) under a common prefix of role and module.
class List {
 public:
  List(const TextConfig& config, StoredConventions conventions, Part part,
       std::vector<ExpectedWeight>& out)
      : config_(config), conventions_(conventions), part_(part), out_(out) {}

  void linear(const std::string& role, const std::string& module, int64_t rows, int64_t columns) {
    add({part_, role, module, "weight", rows, columns, Kind::kLinear, Transform::kNone, false});
  }
  void table(const std::string& role, const std::string& module, bool optional = false) {
    add({part_, role, module, "weight", config_.vocabulary, config_.hidden, Kind::kTable,
         Transform::kNone, optional});
  }
  // Zero-centred: the file's offsets become 1 + w, unless they already are.
  void norm(const std::string& role, const std::string& module, int64_t width) {
    const Transform transform = conventions_.norms_ready ? Transform::kNone : Transform::kAddOne;
    add({part_, role, module, "weight", 1, width, Kind::kVector, transform, false});
  }
  void vector(const std::string& role, const std::string& module, const std::string& leaf,
              int64_t rows, int64_t columns, Transform transform = Transform::kNone) {
    add({part_, role, module, leaf, rows, columns, Kind::kVector, transform, false});
  }

  void attention(const std::string& role, const std::string& module) {
    const int64_t width = config_.query_heads * config_.head_dim,
                  kv_width = config_.kv_heads * config_.head_dim;
    linear(role + "query_gate", module + "q_proj", 2 * width, config_.hidden);
    linear(role + "key", module + "k_proj", kv_width, config_.hidden);
    linear(role + "value", module + "v_proj", kv_width, config_.hidden);
    norm(role + "query_norm", module + "q_norm", config_.head_dim);
    norm(role + "key_norm", module + "k_norm", config_.head_dim);
    linear(role + "out", module + "o_proj", config_.hidden, width);
  }

  void gdn(const std::string& role, const std::string& module) {
    const int64_t keys = config_.gdn_key_heads * config_.gdn_key_dim;
    const int64_t heads = config_.gdn_value_heads, values = heads * config_.gdn_value_dim;
    linear(role + "in_qkv", module + "in_proj_qkv", 2 * keys + values, config_.hidden);
    linear(role + "in_z", module + "in_proj_z", values, config_.hidden);
    linear(role + "in_b", module + "in_proj_b", heads, config_.hidden);
    linear(role + "in_a", module + "in_proj_a", heads, config_.hidden);
    vector(role + "conv", module + "conv1d", "weight", 2 * keys + values, config_.conv_kernel);
    // The decay is never deduced from values: -exp(A_log) of a GGUF and a raw A_log look alike
    // (pitfall 2).
    vector(role + "decay", module.substr(0, module.size() - 1), "A_log", 1, heads,
           conventions_.decay_ready ? Transform::kNone : Transform::kMinusExp);
    vector(role + "dt_bias", module.substr(0, module.size() - 1), "dt_bias", 1, heads);
    vector(role + "norm", module + "norm", "weight", 1,
           config_.gdn_value_dim);  // plain weight: no 1 to add
    linear(role + "out", module + "out_proj", config_.hidden, values);
  }

  void layer(const std::string& role, const std::string& module, LayerType type) {
    norm(role + "input_norm", module + "input_layernorm", config_.hidden);
    if (type == LayerType::kFullAttention) {
      attention(role + "attention.", module + "self_attn.");
    } else {
      gdn(role + "gdn.", module + "linear_attn.");
    }
    norm(role + "post_norm", module + "post_attention_layernorm", config_.hidden);
    linear(role + "mlp.gate", module + "mlp.gate_proj", config_.intermediate, config_.hidden);
    linear(role + "mlp.up", module + "mlp.up_proj", config_.intermediate, config_.hidden);
    linear(role + "mlp.down", module + "mlp.down_proj", config_.hidden, config_.intermediate);
  }

 private:
  void add(ExpectedWeight weight) { out_.push_back(std::move(weight)); }

  const TextConfig& config_;
  StoredConventions conventions_;
  Part part_;
  std::vector<ExpectedWeight>& out_;
};

}  // namespace

std::vector<ExpectedWeight> expected_text_weights(const TextConfig& config,
                                                  StoredConventions conventions) {
  std::vector<ExpectedWeight> out;
  List list(config, conventions, Part::kText, out);
  list.table("embedding", "embed_tokens");
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string prefix = fmt::format("layers.{}.", i);
    list.layer(prefix, prefix, config.layer_types[static_cast<size_t>(i)]);
  }
  list.norm("final_norm", "norm", config.hidden);
  if (!config.tied) list.linear("head", "lm_head", config.vocabulary, config.hidden);
  return out;
}

std::vector<ExpectedWeight> expected_mtp_weights(const TextConfig& config,
                                                 StoredConventions conventions) {
  std::vector<ExpectedWeight> out;
  List list(config, conventions, Part::kMtp, out);
  list.norm("mtp.embedding_norm", "mtp.pre_fc_norm_embedding", config.hidden);
  list.norm("mtp.hidden_norm", "mtp.pre_fc_norm_hidden", config.hidden);
  list.linear("mtp.fc", "mtp.fc", config.hidden, 2 * config.hidden);
  list.layer("mtp.layer.", "mtp.layers.0.", LayerType::kFullAttention);
  list.norm("mtp.norm", "mtp.norm", config.hidden);
  // Tables of the head's own, in place of the shared ones (mtp.md section 1).
  list.table("mtp.embedding", "mtp.embed_tokens", true);
  out.push_back({Part::kMtp, "mtp.head", "mtp.lm_head", "weight", config.vocabulary, config.hidden,
                 Kind::kLinear, Transform::kNone, true});
  return out;
}

}  // namespace sluice::model
