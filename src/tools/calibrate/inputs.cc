#include "tools/calibrate/inputs.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "model/expected_weights.h"

namespace sluice::calibrate {
namespace {

using model::ExpectedWeight;

// The end of a weight's role, and of the traced value that it multiplies. What stands before is the
// same in both ("layers.3.", "mtp.layer.").
constexpr std::array kInputs = {
    std::pair<std::string_view, std::string_view>{"attention.query_gate", "input_norm"},
    std::pair<std::string_view, std::string_view>{"attention.key", "input_norm"},
    std::pair<std::string_view, std::string_view>{"attention.value", "input_norm"},
    std::pair<std::string_view, std::string_view>{"attention.out", "attn.heads_gated"},
    std::pair<std::string_view, std::string_view>{"gdn.in_qkv", "input_norm"},
    std::pair<std::string_view, std::string_view>{"gdn.in_z", "input_norm"},
    std::pair<std::string_view, std::string_view>{"gdn.in_b", "input_norm"},
    std::pair<std::string_view, std::string_view>{"gdn.in_a", "input_norm"},
    std::pair<std::string_view, std::string_view>{"gdn.out", "gdn.core_normed"},
    std::pair<std::string_view, std::string_view>{"mlp.gate", "post_norm"},
    std::pair<std::string_view, std::string_view>{"mlp.up", "post_norm"},
    std::pair<std::string_view, std::string_view>{"mlp.down", "mlp_product"},
    std::pair<std::string_view, std::string_view>{"mtp.fc", "mtp.fc_in"},
    std::pair<std::string_view, std::string_view>{"mtp.head", "mtp.hidden"},
    std::pair<std::string_view, std::string_view>{"head", "final_norm"}};

std::string input_of(std::string_view role) {
  for (const auto& [ending, input] : kInputs) {
    if (role.ends_with(ending))
      return fmt::format("{}{}", role.substr(0, role.size() - ending.size()), input);
  }
  SLUICE_CHECK(false, "no input is known for {}", role);
  return {};
}

}  // namespace

std::vector<LinearLayer> linear_layers(const model::Binding& binding, bool draft) {
  const model::TextConfig& config = binding.config;
  std::vector<LinearLayer> layers;
  const auto add = [&](const std::vector<ExpectedWeight>& weights) {
    for (const ExpectedWeight& weight : weights) {
      if (weight.kind != ExpectedWeight::Kind::kLinear) continue;
      if (weight.optional && binding.find(weight.role) == nullptr) continue;
      layers.push_back(
          {weight.module, input_of(weight.role), weight.columns, weight.role == "head"});
    }
  };
  add(model::expected_text_weights(config, {}));
  if (config.tied) layers.push_back({"embed_tokens", "final_norm", config.hidden, true});
  if (draft) add(model::expected_mtp_weights(config, {}));
  return layers;
}

std::vector<CachedLayer> cached_layers(const model::TextConfig& config, bool draft) {
  std::vector<CachedLayer> layers;
  const auto add = [&](const std::string& module, const std::string& trace) {
    layers.push_back({module + "self_attn", trace + "attn.k_roped", trace + "attn.v_proj"});
  };
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string prefix = fmt::format("layers.{}.", i);
    if (config.layer_types[static_cast<size_t>(i)] == model::LayerType::kFullAttention)
      add(prefix, prefix);
  }
  if (draft) add("mtp.layers.0.", "mtp.layer.");
  return layers;
}

Statistics empty_statistics(const model::Binding& binding, bool draft) {
  Statistics statistics;
  for (const LinearLayer& layer : linear_layers(binding, draft))
    statistics[layer.input].squares.resize(static_cast<size_t>(layer.columns));
  for (const CachedLayer& layer : cached_layers(binding.config, draft)) {
    statistics[layer.key];
    statistics[layer.value];
  }
  return statistics;
}

}  // namespace sluice::calibrate
