#include "tools/distill/parameters.h"

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <torch/types.h>

#include <cmath>
#include <cstring>

namespace sluice::distill {
namespace {

using model::LayerType;
using model::TextConfig;

// Adds parameters in the order of the published list; the random numbers follow that order.
class Builder {
 public:
  Builder(const TextConfig& config, const InitOptions& options)
      : config_(config),
        options_(options),
        generator_(at::detail::createCPUGenerator(options.seed)) {}

  ParameterSet build() {
    const int64_t hidden = config_.hidden;
    set_.embedding =
        matrix({{"model.embed_tokens.weight", {config_.vocabulary, hidden}}}, options_.deviation);
    for (int64_t i = 0; i < config_.layers; ++i) {
      set_.layers.push_back(
          layer(fmt::format("model.layers.{}.", i), config_.layer_types[static_cast<size_t>(i)]));
    }
    set_.final_norm = constant("model.norm.weight", {hidden}, 0);
    set_.head = set_.embedding;
    if (!config_.tied) {
      set_.head = matrix({{"lm_head.weight", {config_.vocabulary, hidden}}}, options_.deviation);
    }
    if (config_.mtp_layers > 0) {
      set_.mtp_embedding_norm = constant("mtp.pre_fc_norm_embedding.weight", {hidden}, 0);
      set_.mtp_hidden_norm = constant("mtp.pre_fc_norm_hidden.weight", {hidden}, 0);
      set_.mtp_fc = matrix({{"mtp.fc.weight", {hidden, 2 * hidden}}}, options_.deviation);
      set_.mtp_layer = layer("mtp.layers.0.", LayerType::kFullAttention);
      set_.mtp_norm = constant("mtp.norm.weight", {hidden}, 0);
    }
    return std::move(set_);
  }

 private:
  LayerIndex layer(const std::string& prefix, LayerType type) {
    const int64_t hidden = config_.hidden, inner = config_.intermediate;
    LayerIndex index;
    index.type = type;
    index.input_norm = constant(prefix + "input_layernorm.weight", {hidden}, 0);
    if (type == LayerType::kFullAttention) {
      index.attention = attention(prefix + "self_attn.");
    } else {
      index.gdn = gdn(prefix + "linear_attn.");
    }
    index.mlp.norm = constant(prefix + "post_attention_layernorm.weight", {hidden}, 0);
    index.mlp.gate_up = matrix({{prefix + "mlp.gate_proj.weight", {inner, hidden}},
                                {prefix + "mlp.up_proj.weight", {inner, hidden}}},
                               options_.deviation);
    index.mlp.down = matrix({{prefix + "mlp.down_proj.weight", {hidden, inner}}}, residual());
    return index;
  }

  AttentionIndex attention(const std::string& prefix) {
    const int64_t hidden = config_.hidden, dim = config_.head_dim;
    AttentionIndex index;
    index.q = matrix({{prefix + "q_proj.weight", {config_.query_heads * 2 * dim, hidden}}},
                     options_.deviation);
    index.kv = matrix({{prefix + "k_proj.weight", {config_.kv_heads * dim, hidden}},
                       {prefix + "v_proj.weight", {config_.kv_heads * dim, hidden}}},
                      options_.deviation);
    index.q_norm = constant(prefix + "q_norm.weight", {dim}, 0);
    index.k_norm = constant(prefix + "k_norm.weight", {dim}, 0);
    index.out =
        matrix({{prefix + "o_proj.weight", {hidden, config_.query_heads * dim}}}, residual());
    return index;
  }

  GdnIndex gdn(const std::string& prefix) {
    const int64_t hidden = config_.hidden, heads = config_.gdn_value_heads;
    const int64_t values = heads * config_.gdn_value_dim;
    const int64_t channels = 2 * config_.gdn_key_heads * config_.gdn_key_dim + values;
    GdnIndex index;
    index.in = matrix({{prefix + "in_proj_qkv.weight", {channels, hidden}},
                       {prefix + "in_proj_z.weight", {values, hidden}},
                       {prefix + "in_proj_b.weight", {heads, hidden}},
                       {prefix + "in_proj_a.weight", {heads, hidden}}},
                      options_.deviation);
    const double bound = 1.0 / std::sqrt(static_cast<double>(config_.conv_kernel));
    torch::Tensor taps =
        torch::empty({channels, config_.conv_kernel}).uniform_(-bound, bound, generator_);
    start_as_memory(set_.all[index.in].value, taps);
    index.conv = vector({{prefix + "conv1d.weight", {channels, 1, config_.conv_kernel}}}, taps);
    // Decay rates and step sizes spread over a decade or two, as state-space models start: heads
    // that forget within a few tokens and heads that keep hundreds.
    index.a_log = vector({{prefix + "A_log", {heads}}},
                         torch::empty({heads}).uniform_(1.0, 16.0, generator_).log());
    torch::Tensor step = torch::empty({heads}).uniform_(std::log(0.001), std::log(0.1), generator_);
    // The memories of start_as_memory keep thousands of tokens, or there is nothing to be found in
    // them: at 0.1 a head has forgotten what stands fifty tokens back.
    step.narrow(0, 0, memory_heads() * heads / config_.gdn_key_heads).sub_(std::log(100.0));
    step.exp_();
    index.dt_bias = vector({{prefix + "dt_bias", {heads}}}, step.expm1().log());
    index.norm = constant(prefix + "norm.weight", {config_.gdn_value_dim}, 1);
    index.out = matrix({{prefix + "out_proj.weight", {hidden, values}}}, residual());
    return index;
  }

  // Half of the key heads start as a memory of what followed what: the key is made of the token
  // before, the query of the present token, by the same projection. A token that occurred earlier
  // in the sample then finds what came after it from the first step on. Left to chance, queries and
  // keys have nothing in common.
  void start_as_memory(torch::Tensor& projection, torch::Tensor& taps) const {
    const torch::NoGradGuard no_gradients;
    const int64_t present = config_.conv_kernel - 1;
    if (present == 0) return;
    const int64_t all = config_.gdn_key_heads * config_.gdn_key_dim;
    const int64_t rows = memory_heads() * config_.gdn_key_dim;
    projection.narrow(0, all, rows).copy_(projection.narrow(0, 0, rows));
    torch::Tensor query = taps.narrow(0, 0, rows), key = taps.narrow(0, all, rows);
    query.mul_(0.2).select(1, present).fill_(1);
    key.mul_(0.2).select(1, present - 1).fill_(1);
  }

  int64_t memory_heads() const { return (config_.gdn_key_heads + 1) / 2; }

  double residual() const {
    return options_.deviation / std::sqrt(2.0 * static_cast<double>(config_.layers));
  }

  size_t matrix(std::vector<PublishedPart> parts, double deviation) {
    int64_t rows = 0;
    for (const PublishedPart& part : parts) rows += part.shape[0];
    torch::Tensor value =
        torch::empty({rows, parts.front().shape[1]}).normal_(0.0, deviation, generator_);
    return add({ParameterKind::kMatrix, std::move(parts), std::move(value)});
  }
  size_t vector(std::vector<PublishedPart> parts, torch::Tensor value) {
    return add({ParameterKind::kVector, std::move(parts), std::move(value)});
  }
  size_t constant(std::string name, std::vector<int64_t> shape, double value) {
    torch::Tensor filled = torch::full(shape, value, torch::kFloat);
    return vector({{std::move(name), std::move(shape)}}, std::move(filled));
  }
  size_t add(Parameter parameter) {
    parameter.value.set_requires_grad(true);
    set_.all.push_back(std::move(parameter));
    return set_.all.size() - 1;
  }

  const TextConfig& config_;
  const InitOptions& options_;
  at::Generator generator_;
  ParameterSet set_;
};

// Published name without the prefixes that the text-only and the multimodal layout differ in.
const checkpoint::StoredTensor* find_tensor(const checkpoint::Checkpoint& checkpoint,
                                            const std::string& name) {
  if (const auto* tensor = checkpoint.find(name)) return tensor;
  constexpr std::string_view kText = "model.";
  if (!name.starts_with(kText)) return nullptr;
  return checkpoint.find("model.language_model." + name.substr(kText.size()));
}

Status copy_values(const checkpoint::StoredTensor& tensor, float* out) {
  const auto count = static_cast<size_t>(tensor.elements());
  const auto convert = [&](auto stored) {
    for (size_t i = 0; i < count; ++i) {
      std::memcpy(&stored, tensor.bytes.data() + i * sizeof stored, sizeof stored);
      out[i] = static_cast<float>(stored);
    }
  };
  switch (tensor.dtype) {
    case DType::kF32:
      convert(float{});
      return {};
    case DType::kBF16:
      convert(c10::BFloat16{});
      return {};
    case DType::kF16:
      convert(c10::Half{});
      return {};
    default:
      return bad_input(tensor.name, fmt::format("is stored as {}", dtype_name(tensor.dtype)),
                       "Start from an unquantized checkpoint (BF16, F16 or F32)");
  }
}

}  // namespace

int64_t ParameterSet::count() const {
  int64_t sum = 0;
  for (const Parameter& parameter : all) sum += parameter.value.numel();
  return sum;
}

ParameterSet make_parameters(const TextConfig& config, const InitOptions& options) {
  return Builder(config, options).build();
}

Status load_parameters(const checkpoint::Checkpoint& checkpoint, ParameterSet& parameters) {
  const bool has_draft_head = checkpoint.find("mtp.fc.weight") != nullptr;
  for (Parameter& parameter : parameters.all) {
    if (!has_draft_head && parameter.name().starts_with("mtp.")) continue;
    std::vector<float> values(static_cast<size_t>(parameter.value.numel()));
    float* place = values.data();
    for (const PublishedPart& part : parameter.parts) {
      const checkpoint::StoredTensor* tensor = find_tensor(checkpoint, part.name);
      if (tensor == nullptr) {
        return bad_input(checkpoint.folder().string(), fmt::format("has no tensor {}", part.name));
      }
      if (tensor->shape != part.shape) {
        return bad_input(tensor->name,
                         fmt::format("has shape [{}], the model's is [{}]",
                                     fmt::join(tensor->shape, ", "), fmt::join(part.shape, ", ")));
      }
      SLUICE_TRY(copy_values(*tensor, place));
      place += tensor->elements();
    }
    const torch::NoGradGuard no_gradients;
    parameter.value.copy_(torch::from_blob(values.data(), parameter.value.sizes(), torch::kFloat));
  }
  return {};
}

}  // namespace sluice::distill
