#include "tools/quantize/gguf_mixture.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace sluice::quantize {
namespace {

using Rule = Mixture::Rule;

struct BlockName {
  int64_t block = -1;     // -1: not in a block
  std::string_view stem;  // "ffn_down", "nextn.eh_proj", "output"
};

BlockName parse(std::string_view name) {
  constexpr std::string_view kWeight = ".weight", kBlock = "blk.";
  if (name.ends_with(kWeight)) name.remove_suffix(kWeight.size());
  if (!name.starts_with(kBlock)) return {-1, name};
  const std::string_view rest = name.substr(kBlock.size());
  BlockName out;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), out.block);
  const auto used = static_cast<size_t>(end - rest.data());
  if (error != std::errc() || used + 1 >= rest.size()) return {-1, name};
  out.stem = rest.substr(used + 1);
  return out;
}

}  // namespace

const std::vector<Mixture>& mixtures() {
  static const std::vector<Mixture> kMixtures = {
      {"f32", DType::kF32, 0, Rule::kUniform},
      {"f16", DType::kF16, 1, Rule::kUniform},
      {"bf16", DType::kBF16, 32, Rule::kUniform},
      {"q8_0", DType::kQ8_0, 7, Rule::kUniform},
      {"q6_k", DType::kQ6_K, 18, Rule::kUniform},
      {"q5_k_m", DType::kQ5_K, 17, Rule::kMedium},
      {"q5_k_s", DType::kQ5_K, 16, Rule::kUniform},
      {"q4_k_m", DType::kQ4_K, 15, Rule::kMedium},
      {"q4_k_s", DType::kQ4_K, 14, Rule::kSmall},
      {"q3_k_m", DType::kQ3_K, 12, Rule::kThreeMedium},
      {"iq4_xs", DType::kIQ4_XS, 30, Rule::kNonlinear},
      {"iq4_nl", DType::kIQ4_NL, 25, Rule::kNonlinear},
      {"q5_1", DType::kQ5_1, 9, Rule::kUniform},
      {"q5_0", DType::kQ5_0, 8, Rule::kLegacy},
      {"q4_1", DType::kQ4_1, 3, Rule::kUniform},
      {"q4_0", DType::kQ4_0, 2, Rule::kLegacy},
  };
  return kMixtures;
}

const Mixture* find_mixture(std::string_view name) {
  const auto& all = mixtures();
  const auto it = std::find_if(all.begin(), all.end(), [&](const Mixture& mixture) {
    return std::equal(
        name.begin(), name.end(), mixture.name.begin(), mixture.name.end(),
        [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
  });
  return it == all.end() ? nullptr : &*it;
}

DType type_for_columns(DType type, int64_t columns) {
  if (columns % dtype_info(type).block_elements == 0) return type;
  if (columns % 32 != 0) return DType::kF16;
  switch (type) {
    case DType::kQ4_K:
      return DType::kQ5_0;
    case DType::kQ5_K:
      return DType::kQ5_1;
    case DType::kQ6_K:
      return DType::kQ8_0;
    case DType::kQ2_K:
    case DType::kQ3_K:
      return DType::kQ4_0;
    case DType::kIQ4_XS:
      return DType::kIQ4_NL;
    default:
      return DType::kF16;
  }
}

bool stays_f32(std::string_view name, size_t rank) {
  return rank < 2 || !name.ends_with(".weight") || name.ends_with("_norm.weight") ||
         name.ends_with("ssm_conv1d.weight");
}

MixtureRule::MixtureRule(const Mixture& mixture, MixtureOptions options,
                         const model::TextConfig& config, int64_t blocks)
    : mixture_(mixture), options_(options), config_(config), blocks_(blocks) {}

// Half of the layers: the first and the last eighth, and every third between them.
bool MixtureRule::more(int64_t i) const {
  const int64_t eighth = blocks_ / 8;
  return i < eighth || i >= 7 * blocks_ / 8 || (i - eighth) % 3 == 2;
}

int64_t MixtureRule::attention_before(int64_t block) const {
  const auto& types = config_.layer_types;
  const auto end = types.begin() + std::min<int64_t>(block, static_cast<int64_t>(types.size()));
  return std::count(types.begin(), end, model::LayerType::kFullAttention);
}

DType MixtureRule::type(std::string_view name, const std::vector<int64_t>& shape) const {
  if (stays_f32(name, shape.size())) return DType::kF32;
  const bool plain = dtype_info(mixture_.base).block_elements == 1;
  if (plain) return mixture_.base;
  const BlockName place = parse(name);
  DType chosen = mixture_.base;
  if (place.block >= 0) {
    chosen = mixed(place.stem, place.block);
  } else if (place.stem == "output" || (place.stem == "token_embd" && config_.tied)) {
    chosen = mixture_.base == DType::kQ8_0 ? DType::kQ8_0 : DType::kQ6_K;
  }
  return type_for_columns(chosen, shape.back());
}

DType MixtureRule::mixed(std::string_view stem, int64_t block) const {
  const DType base = mixture_.base;
  const bool fused = stem == "attn_qkv", value = stem == "attn_v" || fused;
  const bool down = stem == "ffn_down";
  const int64_t i = options_.older_rule ? attention_before(block) : block;
  switch (mixture_.rule) {
    case Rule::kUniform:
      return base;
    case Rule::kMedium:
      if (fused && options_.older_rule) return base == DType::kQ4_K ? DType::kQ5_K : DType::kQ6_K;
      if ((value && more(i)) || (down && more(block))) return DType::kQ6_K;
      return base;
    case Rule::kSmall:
      if (fused && options_.older_rule) return base;
      if (value && i < 4) return DType::kQ5_K;
      return down && block < blocks_ / 8 ? DType::kQ5_K : base;
    case Rule::kThreeMedium:
      if (fused && options_.older_rule) return DType::kQ4_K;
      if (value) return i < 2 ? DType::kQ5_K : DType::kQ4_K;
      if (down) return block < blocks_ / 16 ? DType::kQ5_K : DType::kQ4_K;
      return stem == "attn_output" ? DType::kQ4_K : base;
    case Rule::kNonlinear:
      if (value && !(fused && options_.older_rule) && config_.query_heads / config_.kv_heads >= 4)
        return DType::kQ5_K;
      return down && block < blocks_ / 8 && !options_.importance ? DType::kQ5_K : base;
    case Rule::kLegacy:
      if (down && options_.importance && block < blocks_ / 8)
        return base == DType::kQ4_0 ? DType::kQ4_1 : DType::kQ5_1;
      return base;
  }
  return base;
}

}  // namespace sluice::quantize
