#include "models/model_shape.h"

#include <fmt/format.h>

namespace sluice::benchmarks {
namespace {

// Collects the weights of one block (or of the model) under its two prefixes.
class Collector {
 public:
  Collector(const ModelShape& shape, std::vector<Weight>& out) : shape_(shape), out_(out) {}

  void at(std::string safetensors_prefix, int64_t block) {
    safetensors_prefix_ = std::move(safetensors_prefix);
    gguf_prefix_ = block < 0 ? "" : fmt::format("blk.{}.", block);
    block_ = block;
  }
  void add(std::string_view safetensors, std::string_view gguf, WeightKind kind, int64_t rows,
           int64_t columns, bool fp8 = false) {
    out_.push_back({safetensors_prefix_ + std::string(safetensors),
                    gguf_prefix_ + std::string(gguf), kind, rows, columns, block_, fp8});
  }
  void linear(std::string_view safetensors, std::string_view gguf, int64_t rows, int64_t columns,
              bool fp8 = true) {
    add(fmt::format("{}.weight", safetensors), fmt::format("{}.weight", gguf), WeightKind::kLinear,
        rows, columns, fp8);
  }
  void norm(std::string_view safetensors, std::string_view gguf, int64_t width) {
    add(fmt::format("{}.weight", safetensors), fmt::format("{}.weight", gguf), WeightKind::kNorm, 1,
        width);
  }

  void attention() {
    const int64_t width = shape_.query_heads * shape_.head_dim,
                  kv_width = shape_.kv_heads * shape_.head_dim;
    linear("self_attn.q_proj", "attn_q", 2 * width, shape_.hidden);
    linear("self_attn.k_proj", "attn_k", kv_width, shape_.hidden);
    linear("self_attn.v_proj", "attn_v", kv_width, shape_.hidden);
    linear("self_attn.o_proj", "attn_output", shape_.hidden, width);
    norm("self_attn.q_norm", "attn_q_norm", shape_.head_dim);
    norm("self_attn.k_norm", "attn_k_norm", shape_.head_dim);
  }

  void linear_attention() {
    const int64_t heads = shape_.value_heads, width = heads * shape_.gdn_head_dim;
    linear("linear_attn.in_proj_qkv", "attn_qkv", shape_.convolution_channels(), shape_.hidden);
    linear("linear_attn.in_proj_z", "attn_gate", width, shape_.hidden);
    linear("linear_attn.in_proj_a", "ssm_alpha", heads, shape_.hidden, false);
    linear("linear_attn.in_proj_b", "ssm_beta", heads, shape_.hidden, false);
    add("linear_attn.conv1d.weight", "ssm_conv1d.weight", WeightKind::kConvolution,
        shape_.convolution_channels(), shape_.conv_kernel);
    add("linear_attn.dt_bias", "ssm_dt.bias", WeightKind::kTimeBias, 1, heads);
    add("linear_attn.A_log", "ssm_a", WeightKind::kDecay, 1, heads);
    add("linear_attn.norm.weight", "ssm_norm.weight", WeightKind::kPlainNorm, 1,
        shape_.gdn_head_dim);
    linear("linear_attn.out_proj", "ssm_out", shape_.hidden, width);
  }

  void block(bool is_attention) {
    norm("input_layernorm", "attn_norm", shape_.hidden);
    if (is_attention) {
      attention();
    } else {
      linear_attention();
    }
    norm("post_attention_layernorm", "post_attention_norm", shape_.hidden);
    linear("mlp.gate_proj", "ffn_gate", shape_.intermediate, shape_.hidden);
    linear("mlp.up_proj", "ffn_up", shape_.intermediate, shape_.hidden);
    linear("mlp.down_proj", "ffn_down", shape_.hidden, shape_.intermediate);
  }

 private:
  const ModelShape& shape_;
  std::vector<Weight>& out_;
  std::string safetensors_prefix_, gguf_prefix_;
  int64_t block_ = -1;
};

}  // namespace

std::optional<ModelShape> published_shape(std::string_view name) {
  struct Row {
    std::string_view name;
    int64_t layers, hidden, intermediate, query_heads, kv_heads, value_heads;
    bool tied;
  };
  static constexpr Row kRows[] = {
      {"0.8B", 24, 1024, 3584, 8, 2, 16, true},   {"2B", 24, 2048, 6144, 8, 2, 16, true},
      {"4B", 32, 2560, 9216, 16, 4, 32, true},    {"9B", 32, 4096, 12288, 16, 4, 32, false},
      {"27B", 64, 5120, 17408, 24, 4, 48, false},
  };
  for (const Row& row : kRows) {
    if (row.name != name) continue;
    ModelShape shape;
    shape.name = row.name;
    shape.layers = row.layers;
    shape.hidden = row.hidden;
    shape.intermediate = row.intermediate;
    shape.query_heads = row.query_heads;
    shape.kv_heads = row.kv_heads;
    shape.value_heads = row.value_heads;
    shape.tied = row.tied;
    return shape;
  }
  return std::nullopt;
}

std::optional<std::string> shape_problem(const ModelShape& shape) {
  for (const auto& [name, value] : {std::pair{"layers", shape.layers},
                                    {"hidden", shape.hidden},
                                    {"intermediate", shape.intermediate},
                                    {"query heads", shape.query_heads},
                                    {"kv heads", shape.kv_heads},
                                    {"head dim", shape.head_dim},
                                    {"key heads", shape.key_heads},
                                    {"value heads", shape.value_heads},
                                    {"gdn head dim", shape.gdn_head_dim},
                                    {"attention interval", shape.attention_interval}}) {
    if (value < 1 || value > (1 << 20)) return fmt::format("{} is {}", name, value);
  }
  if (shape.query_heads % shape.kv_heads != 0) return "query heads are not a multiple of kv heads";
  if (shape.value_heads % shape.key_heads != 0)
    return "value heads are not a multiple of key heads";
  if (shape.head_dim % 8 != 0) return "head dim is not a multiple of 8";
  if (shape.vocabulary < 512 || shape.vocabulary > (1 << 20))
    return "vocabulary is not from 512 to 1048576";
  return std::nullopt;
}

std::vector<Weight> weights_of(const ModelShape& shape) {
  std::vector<Weight> weights;
  Collector collect(shape, weights);
  collect.at("model.language_model.", -1);
  collect.add("embed_tokens.weight", "token_embd.weight", WeightKind::kTable, shape.vocabulary,
              shape.hidden);
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    collect.at(fmt::format("model.language_model.layers.{}.", layer), layer);
    collect.block(shape.is_attention(layer));
  }
  if (shape.draft_head) {
    collect.at("mtp.layers.0.", shape.layers);
    collect.block(true);
    collect.at("mtp.", shape.layers);
    collect.linear("fc", "nextn.eh_proj", shape.hidden, 2 * shape.hidden, false);
    collect.norm("pre_fc_norm_embedding", "nextn.enorm", shape.hidden);
    collect.norm("pre_fc_norm_hidden", "nextn.hnorm", shape.hidden);
    collect.norm("norm", "nextn.shared_head_norm", shape.hidden);
  }
  collect.at("model.language_model.", -1);
  collect.norm("norm", "output_norm", shape.hidden);
  if (!shape.tied) {
    collect.at("", -1);
    collect.add("lm_head.weight", "output.weight", WeightKind::kHead, shape.vocabulary,
                shape.hidden);
  }
  return weights;
}

}  // namespace sluice::benchmarks
