#include "models/mixture.h"

namespace sluice::benchmarks {
namespace {

// Section 5.2: the first and last eighth of the layers, and every third between.
bool gets_more_bits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

// Section 5.3: types of 256-wide blocks fall back where a row is not made of them.
DType fallback(DType type, int64_t columns, bool is_output) {
  const int64_t width = dtype_info(type).block_elements;
  if (columns % width == 0) return type;
  if (columns % 32 != 0) return DType::kF16;
  if (is_output || type == DType::kQ6_K) return DType::kQ8_0;
  return type == DType::kQ5_K ? DType::kQ5_1 : DType::kQ5_0;
}

}  // namespace

std::optional<Mixture> mixture(std::string_view name) {
  static constexpr Mixture kMixtures[] = {
      {"Q4_K_M", 15, DType::kQ4_K, DType::kQ6_K, DType::kQ6_K},
      {"Q5_K_M", 17, DType::kQ5_K, DType::kQ6_K, DType::kQ6_K},
      {"Q6_K", 18, DType::kQ6_K, DType::kQ6_K, DType::kQ6_K},
      {"Q8_0", 7, DType::kQ8_0, DType::kQ8_0, DType::kQ8_0},
      {"BF16", 32, DType::kBF16, DType::kBF16, DType::kBF16},
      {"F16", 1, DType::kF16, DType::kF16, DType::kF16},
  };
  for (const Mixture& known : kMixtures) {
    if (known.name == name) return known;
  }
  return std::nullopt;
}

DType gguf_type(const Mixture& mixture, const ModelShape& shape, const Weight& weight) {
  switch (weight.kind) {
    case WeightKind::kNorm:
    case WeightKind::kPlainNorm:
    case WeightKind::kConvolution:
    case WeightKind::kDecay:
    case WeightKind::kTimeBias:
      return DType::kF32;
    case WeightKind::kHead:
      return fallback(mixture.output, weight.columns, true);
    case WeightKind::kTable:
      return fallback(shape.tied ? mixture.output : mixture.base, weight.columns, shape.tied);
    case WeightKind::kLinear:
      break;
  }
  const std::string_view name = weight.gguf_name;
  const bool favoured = name.ends_with(".attn_v.weight") || name.ends_with(".attn_qkv.weight") ||
                        name.ends_with(".ffn_down.weight");
  const bool more = favoured && gets_more_bits(weight.block, shape.blocks());
  return fallback(more ? mixture.better : mixture.base, weight.columns, false);
}

}  // namespace sluice::benchmarks
