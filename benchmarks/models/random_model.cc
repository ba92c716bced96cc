#include "models/random_model.h"

#include <fmt/format.h>

#include <cmath>
#include <system_error>

#include "models/random_fill.h"

namespace sluice::benchmarks {

namespace fs = std::filesystem;

float weight_deviation(const Weight& weight) {
  switch (weight.kind) {
    case WeightKind::kTable:  // also the head of tied models
    case WeightKind::kHead:
      return 3.0f / std::sqrt(static_cast<float>(weight.columns));
    case WeightKind::kConvolution:
      return 0.5f;  // four taps
    default:
      break;
  }
  const std::string_view name = weight.gguf_name;
  const bool residual = name.ends_with("ffn_down.weight") || name.ends_with("attn_output.weight") ||
                        name.ends_with("ssm_out.weight");
  return (residual ? 0.5f : 1.0f) / std::sqrt(static_cast<float>(weight.columns));
}

std::vector<float> vector_values(const Weight& weight, uint64_t seed) {
  Random random(seed, weight.safetensors_name);
  std::vector<float> values(static_cast<size_t>(weight.rows * weight.columns));
  for (float& value : values) {
    switch (weight.kind) {
      case WeightKind::kNorm:
        value = 0.1f * random.normal();
        break;
      case WeightKind::kPlainNorm:
        value = 1.0f + 0.1f * random.normal();
        break;
      // exp(A_log) from 0.007 to 1: heads that forget within a few tokens, and heads that keep
      // hundreds.
      case WeightKind::kDecay:
        value = -5.0f * random.uniform();
        break;
      case WeightKind::kTimeBias:
        value = random.uniform() - 0.5f;
        break;
      default:
        value = weight_deviation(weight) * random.normal();
        break;
    }
  }
  return values;
}

Status require_space(const fs::path& where, uint64_t bytes) {
  std::error_code problem;
  const fs::space_info space = fs::space(where, problem);
  if (problem) return failed(where.string(), "cannot read its free space: " + problem.message());
  constexpr uint64_t kMargin = 1ull << 30;  // left for everything else on the disk
  if (space.available >= bytes + kMargin) return {};
  return Error{ErrorCode::kDoesNotFit, where.string(),
               fmt::format("{:.1f} GB are needed (1 GiB of them as a margin), {:.1f} GB are free",
                           static_cast<double>(bytes + kMargin) * 1e-9,
                           static_cast<double>(space.available) * 1e-9),
               "Free some space or write elsewhere"};
}

}  // namespace sluice::benchmarks
