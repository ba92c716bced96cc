#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "model/config_readers.h"

namespace sluice::model {
namespace {

// Nothing published comes near; larger numbers are damage, and every product of two still fits 64
// bits.
constexpr int64_t kLargestSize = int64_t{1} << 24;
constexpr int64_t kMostLayers = 4096;

struct Refusal {
  std::string_view name, why;
};

constexpr Refusal kRefusals[] = {
    {"qwen3_5_moe",
     "a mixture-of-experts model (routed experts in every layer); only the dense family is "
     "supported"},
    {"qwen35moe",
     "a mixture-of-experts model (routed experts in every layer); only the dense family is "
     "supported"},
    {"qwen4_exp",
     "it shares the gated delta net with Qwen3.5, but has hyper-connections (several residual "
     "streams) instead of "
     "layer norms, block-sparse attention with an indexer, and n-gram hash tables; none of these "
     "is supported"},
    {"qwen3_next",
     "the predecessor: it fuses in_proj_qkvz and in_proj_ba, interleaves them per key head, and "
     "has experts; "
     "not supported"},
    {"qwen3next",
     "the predecessor: it fuses in_proj_qkvz and in_proj_ba, interleaves them per key head, and "
     "has experts; "
     "not supported"},
    {"clip", "a vision projector (mmproj), not a text model"},
};

Status check_size(std::string_view name, int64_t value, int64_t largest,
                  const std::string& source) {
  if (value >= 1 && value <= largest) return {};
  return bad_input(source,
                   fmt::format("{} is {}, which is not between 1 and {}", name, value, largest));
}

Status check_multiple(std::string_view name, int64_t value, std::string_view of, int64_t unit,
                      const std::string& source) {
  if (value % unit == 0) return {};
  return bad_input(source, fmt::format("{} {} is not a multiple of {} {}", name, value, of, unit));
}

}  // namespace

int64_t TextConfig::attention_layers() const {
  return std::count(layer_types.begin(), layer_types.end(), LayerType::kFullAttention);
}

int64_t TextConfig::gdn_layers() const {
  return std::count(layer_types.begin(), layer_types.end(), LayerType::kLinearAttention);
}

Error refuse_architecture(const std::string& source, std::string_view name) {
  for (const Refusal& refusal : kRefusals) {
    // qwen3_5_moe_text, qwen4_exp_text and the like belong to their family.
    if (name.substr(0, refusal.name.size()) == refusal.name) {
      return bad_input(source, fmt::format("model type {}: {}", name, refusal.why),
                       refusal.name == "clip" ? "give the text model's file"
                                              : "use a dense Qwen3.5, 3.6 or 3.8 model");
    }
  }
  return bad_input(
      source,
      fmt::format("model type \"{}\" is not of the Qwen3.5 family (qwen3_5, GGUF qwen35)", name),
      "use a dense Qwen3.5, 3.6 or 3.8 model");
}

Status finish_config(const RotaryParameters& rotary, const std::string& source,
                     TextConfig& config) {
  SLUICE_TRY(check_size("number of layers", config.layers, kMostLayers, source));
  const std::pair<std::string_view, int64_t> sizes[] = {
      {"hidden size", config.hidden},
      {"intermediate size", config.intermediate},
      {"vocabulary", config.vocabulary},
      {"attention heads", config.query_heads},
      {"key-value heads", config.kv_heads},
      {"head dimension", config.head_dim},
      {"GDN key heads", config.gdn_key_heads},
      {"GDN value heads", config.gdn_value_heads},
      {"GDN key dimension", config.gdn_key_dim},
      {"GDN value dimension", config.gdn_value_dim},
      {"context length", config.context > kLargestSize ? kLargestSize : config.context}};
  for (const auto& [name, value] : sizes) SLUICE_TRY(check_size(name, value, kLargestSize, source));
  SLUICE_TRY(
      check_size("attention width", config.query_heads * config.head_dim, kLargestSize, source));
  SLUICE_TRY(check_size("GDN value width", config.gdn_value_heads * config.gdn_value_dim,
                        kLargestSize, source));
  SLUICE_TRY(
      check_size("GDN key width", config.gdn_key_heads * config.gdn_key_dim, kLargestSize, source));
  if (config.conv_kernel < 2 || config.conv_kernel > 16) {
    return bad_input(source, fmt::format("convolution kernel is {}, which is not between 2 and 16",
                                         config.conv_kernel));
  }
  SLUICE_TRY(check_multiple("attention heads", config.query_heads, "key-value heads",
                            config.kv_heads, source));
  SLUICE_TRY(check_multiple("GDN value heads", config.gdn_value_heads, "GDN key heads",
                            config.gdn_key_heads, source));
  if (!std::isfinite(config.rms_eps) || config.rms_eps <= 0) {
    return bad_input(source,
                     fmt::format("rms_norm_eps is {}, not a positive number", config.rms_eps));
  }
  if (rotary.dims > config.head_dim) {
    return bad_input(source, fmt::format("rotary width {} exceeds the head dimension {}",
                                         rotary.dims, config.head_dim));
  }
  Result<ops::RotaryTable> table = make_rotary_table(rotary);
  if (!table.ok()) return bad_input(source, table.error().message());
  config.rotary = *std::move(table);

  // Ids outside the vocabulary can never be produced; derived tokenizers carry such leftovers.
  std::erase_if(config.stop_ids, [&](int32_t id) { return id < 0 || id >= config.vocabulary; });
  std::sort(config.stop_ids.begin(), config.stop_ids.end());
  config.stop_ids.erase(std::unique(config.stop_ids.begin(), config.stop_ids.end()),
                        config.stop_ids.end());
  return {};
}

Result<TextConfig> read_config(const checkpoint::Checkpoint& checkpoint) {
  return checkpoint.gguf() != nullptr ? read_gguf_config(checkpoint) : read_json_config(checkpoint);
}

}  // namespace sluice::model
