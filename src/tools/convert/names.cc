#include "tools/convert/names.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "model/tensor_names.h"

namespace sluice::convert {
namespace {

using Renaming = std::pair<std::string_view, std::string_view>;

constexpr std::array kGlobal = {Renaming{"embed_tokens.weight", "token_embd.weight"},
                                Renaming{"norm.weight", "output_norm.weight"},
                                Renaming{"lm_head.weight", "output.weight"}};

constexpr std::array kBlock = {
    Renaming{"input_layernorm.weight", "attn_norm.weight"},
    Renaming{"post_attention_layernorm.weight", "post_attention_norm.weight"},
    Renaming{"mlp.gate_proj.weight", "ffn_gate.weight"},
    Renaming{"mlp.up_proj.weight", "ffn_up.weight"},
    Renaming{"mlp.down_proj.weight", "ffn_down.weight"},
    Renaming{"self_attn.q_proj.weight", "attn_q.weight"},
    Renaming{"self_attn.k_proj.weight", "attn_k.weight"},
    Renaming{"self_attn.v_proj.weight", "attn_v.weight"},
    Renaming{"self_attn.o_proj.weight", "attn_output.weight"},
    Renaming{"self_attn.q_norm.weight", "attn_q_norm.weight"},
    Renaming{"self_attn.k_norm.weight", "attn_k_norm.weight"},
    Renaming{"linear_attn.in_proj_qkv.weight", "attn_qkv.weight"},
    Renaming{"linear_attn.in_proj_z.weight", "attn_gate.weight"},
    Renaming{"linear_attn.in_proj_a.weight", "ssm_alpha.weight"},
    Renaming{"linear_attn.in_proj_b.weight", "ssm_beta.weight"},
    Renaming{"linear_attn.conv1d.weight", "ssm_conv1d.weight"},
    Renaming{"linear_attn.norm.weight", "ssm_norm.weight"},
    Renaming{"linear_attn.out_proj.weight", "ssm_out.weight"},
    Renaming{"linear_attn.A_log", "ssm_a"},
    Renaming{"linear_attn.dt_bias", "ssm_dt.bias"}};

constexpr std::array kHead = {Renaming{"fc.weight", "nextn.eh_proj.weight"},
                              Renaming{"pre_fc_norm_embedding.weight", "nextn.enorm.weight"},
                              Renaming{"pre_fc_norm_hidden.weight", "nextn.hnorm.weight"},
                              Renaming{"norm.weight", "nextn.shared_head_norm.weight"},
                              Renaming{"embed_tokens.weight", "nextn.embed_tokens.weight"},
                              Renaming{"lm_head.weight", "nextn.shared_head_head.weight"}};

template <size_t N>
std::string_view renamed(const std::array<Renaming, N>& table, std::string_view name) {
  for (const auto& [from, to] : table) {
    if (name == from) return to;
  }
  return {};
}

std::string in_block(int64_t block, std::string_view name) {
  return name.empty() ? std::string() : fmt::format("blk.{}.{}", block, name);
}

}  // namespace

std::string gguf_name(std::string_view canonical, int64_t layers) {
  constexpr std::string_view kLayers = "layers.", kDraft = "mtp.", kDraftLayer = "mtp.layers.0.";
  if (canonical.starts_with(kDraftLayer))
    return in_block(layers, renamed(kBlock, canonical.substr(kDraftLayer.size())));
  if (canonical.starts_with(kDraft))
    return in_block(layers, renamed(kHead, canonical.substr(kDraft.size())));
  if (!canonical.starts_with(kLayers)) return std::string(renamed(kGlobal, canonical));
  const std::string_view rest = canonical.substr(kLayers.size());
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  if (error != std::errc() || end == rest.data() + rest.size() || *end != '.') return {};
  return in_block(layer, renamed(kBlock, rest.substr(static_cast<size_t>(end - rest.data()) + 1)));
}

std::string published_name(std::string_view canonical, bool text_only) {
  if (canonical.starts_with("mtp.") || canonical.starts_with("lm_head"))
    return std::string(canonical);
  if (canonical.starts_with("visual.")) return fmt::format("model.{}", canonical);
  return fmt::format("{}{}", text_only ? "model." : "model.language_model.", canonical);
}

}  // namespace sluice::convert
