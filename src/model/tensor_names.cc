#include "model/tensor_names.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

namespace sluice::model {
namespace {

using Renaming = std::pair<std::string_view, std::string_view>;

// Longest first: the first match counts. "model.mtp." and the like lose only what stands before the
// part's name.
constexpr std::array kPrefixes = {Renaming{"model.language_model.", ""},
                                  Renaming{"language_model.model.", ""},
                                  Renaming{"model.visual.", "visual."},
                                  Renaming{"model.vision_tower.", "visual."},
                                  Renaming{"vision_tower.", "visual."},
                                  Renaming{"language_model.", ""},
                                  Renaming{"model.", ""}};

constexpr std::array kGgufGlobal = {Renaming{"token_embd", "embed_tokens"},
                                    Renaming{"output_norm", "norm"}, Renaming{"output", "lm_head"}};

constexpr std::array kGgufBlock = {Renaming{"attn_norm", "input_layernorm"},
                                   Renaming{"post_attention_norm", "post_attention_layernorm"},
                                   Renaming{"ffn_gate", "mlp.gate_proj"},
                                   Renaming{"ffn_up", "mlp.up_proj"},
                                   Renaming{"ffn_down", "mlp.down_proj"},
                                   Renaming{"attn_q", "self_attn.q_proj"},
                                   Renaming{"attn_k", "self_attn.k_proj"},
                                   Renaming{"attn_v", "self_attn.v_proj"},
                                   Renaming{"attn_output", "self_attn.o_proj"},
                                   Renaming{"attn_q_norm", "self_attn.q_norm"},
                                   Renaming{"attn_k_norm", "self_attn.k_norm"},
                                   Renaming{"attn_qkv", "linear_attn.in_proj_qkv"},
                                   Renaming{"attn_gate", "linear_attn.in_proj_z"},
                                   Renaming{"ssm_alpha", "linear_attn.in_proj_a"},
                                   Renaming{"ssm_beta", "linear_attn.in_proj_b"},
                                   Renaming{"ssm_conv1d", "linear_attn.conv1d"},
                                   Renaming{"ssm_norm", "linear_attn.norm"},
                                   Renaming{"ssm_out", "linear_attn.out_proj"}};

// Of the draft block, and global in the head.
constexpr std::array kGgufHead = {Renaming{"nextn.eh_proj", "fc"},
                                  Renaming{"nextn.enorm", "pre_fc_norm_embedding"},
                                  Renaming{"nextn.hnorm", "pre_fc_norm_hidden"},
                                  Renaming{"nextn.shared_head_norm", "norm"},
                                  Renaming{"nextn.embed_tokens", "embed_tokens"},
                                  Renaming{"nextn.shared_head_head", "lm_head"}};

constexpr std::array kFused = {Renaming{"self_attn.q_proj", "self_attn.qkv_proj"},
                               Renaming{"self_attn.k_proj", "self_attn.qkv_proj"},
                               Renaming{"self_attn.v_proj", "self_attn.qkv_proj"},
                               Renaming{"mlp.gate_proj", "mlp.gate_up_proj"},
                               Renaming{"mlp.up_proj", "mlp.gate_up_proj"},
                               Renaming{"linear_attn.in_proj_qkv", "linear_attn.in_proj_qkvz"},
                               Renaming{"linear_attn.in_proj_z", "linear_attn.in_proj_qkvz"},
                               Renaming{"linear_attn.in_proj_b", "linear_attn.in_proj_ba"},
                               Renaming{"linear_attn.in_proj_a", "linear_attn.in_proj_ba"}};

template <size_t N>
std::string_view renamed(const std::array<Renaming, N>& table, std::string_view name) {
  for (const auto& [from, to] : table) {
    if (name == from) return to;
  }
  return {};
}

// The other way, for weights; empty for a name that the table does not have.
template <size_t N>
std::string original_weight(const std::array<Renaming, N>& table, std::string_view name) {
  constexpr std::string_view kLeaf = ".weight";
  if (!name.ends_with(kLeaf)) return {};
  name.remove_suffix(kLeaf.size());
  for (const auto& [from, to] : table) {
    if (name == to) return fmt::format("{}{}", from, kLeaf);
  }
  return {};
}

bool begins_with_part(std::string_view name) {
  for (const std::string_view part :
       {"layers.", "mtp.", "visual.", "embed_tokens", "norm.", "lm_head"}) {
    if (name.starts_with(part)) return true;
  }
  return name == "norm" || name == "mtp" || name == "visual";
}

// Splits "attn_q.weight" into stem and ".weight" (or ".scale", ...); the two stems without a leaf
// are handled before.
std::pair<std::string_view, std::string_view> stem_and_leaf(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {name, {}};
  return {name.substr(0, dot), name.substr(dot)};
}

}  // namespace

std::string canonical_name(std::string_view stored) {
  for (const auto& [prefix, replacement] : kPrefixes) {
    if (!stored.starts_with(prefix)) continue;
    const std::string name = std::string(replacement) + std::string(stored.substr(prefix.size()));
    if (begins_with_part(name)) return name;
  }
  return std::string(stored);
}

std::string canonical_gguf_name(std::string_view stored, int64_t layers) {
  if (stored.starts_with("mtp.")) return std::string(stored);
  if (!stored.starts_with("blk.")) {
    const auto [stem, leaf] = stem_and_leaf(stored);
    const std::string_view name = renamed(kGgufGlobal, stem);
    return name.empty() ? std::string(stored) : fmt::format("{}{}", name, leaf);
  }
  int64_t block = 0;
  const std::string_view number = stored.substr(4);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), block);
  if (error != std::errc() || end == number.data() + number.size() || *end != '.' || block < 0 ||
      block > 1'000'000) {
    return std::string(stored);
  }
  const std::string_view rest = number.substr(static_cast<size_t>(end - number.data()) + 1);
  const bool head = block >= layers;
  const std::string prefix =
      head ? fmt::format("mtp.layers.{}.", block - layers) : fmt::format("layers.{}.", block);
  if (rest == "ssm_a") return prefix + "linear_attn.A_log";
  if (rest == "ssm_dt.bias") return prefix + "linear_attn.dt_bias";
  const auto [stem, leaf] = stem_and_leaf(rest);
  if (const std::string_view name = renamed(kGgufBlock, stem); !name.empty())
    return fmt::format("{}{}{}", prefix, name, leaf);
  if (head && block == layers) {
    if (const std::string_view name = renamed(kGgufHead, stem); !name.empty())
      return fmt::format("mtp.{}{}", name, leaf);
  }
  return std::string(stored);
}

namespace {

// "mlp.up_proj.weight" of a block, or of the head.
template <size_t N>
std::string name_in_block(int64_t block, const std::array<Renaming, N>& table,
                          std::string_view name) {
  if (name == "linear_attn.A_log") return fmt::format("blk.{}.ssm_a", block);
  if (name == "linear_attn.dt_bias") return fmt::format("blk.{}.ssm_dt.bias", block);
  const std::string found = original_weight(table, name);
  return found.empty() ? found : fmt::format("blk.{}.{}", block, found);
}

}  // namespace

std::string gguf_name(std::string_view canonical, int64_t layers) {
  constexpr std::string_view kLayers = "layers.", kDraft = "mtp.", kDraftLayer = "mtp.layers.0.";
  if (canonical.starts_with(kDraftLayer))
    return name_in_block(layers, kGgufBlock, canonical.substr(kDraftLayer.size()));
  if (canonical.starts_with(kDraft))
    return name_in_block(layers, kGgufHead, canonical.substr(kDraft.size()));
  if (!canonical.starts_with(kLayers)) return original_weight(kGgufGlobal, canonical);
  const std::string_view rest = canonical.substr(kLayers.size());
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  if (error != std::errc() || end == rest.data() + rest.size() || *end != '.') return {};
  return name_in_block(layer, kGgufBlock, rest.substr(static_cast<size_t>(end - rest.data()) + 1));
}

NameParts split_name(std::string_view canonical) {
  const size_t dot = canonical.rfind('.');
  if (dot == std::string_view::npos) return {"", std::string(canonical)};
  return {std::string(canonical.substr(0, dot)), std::string(canonical.substr(dot + 1))};
}

std::vector<std::string> spellings(std::string_view module) {
  const std::string name(module);
  if (module == "lm_head") return {name, "language_model.lm_head"};
  if (module.starts_with("mtp.")) return {name, "model." + name};
  if (module.starts_with("visual.")) return {"model." + name, name};
  return {"model.language_model." + name, "model." + name, "language_model.model." + name};
}

std::string fused_module(std::string_view module) {
  for (const auto& [from, to] : kFused) {
    if (module.ends_with(from))
      return fmt::format("{}{}", module.substr(0, module.size() - from.size()), to);
  }
  return {};
}

}  // namespace sluice::model
