#include "model/rotary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace sluice::model {
namespace {

// theta^(2m / dims), float32 after each step.
std::vector<float> frequency_powers(double theta, int64_t dims) {
  std::vector<float> powers(static_cast<size_t>(dims / 2));
  for (size_t m = 0; m < powers.size(); ++m) {
    const float exponent = static_cast<float>(2 * m) / static_cast<float>(dims);
    powers[m] = static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
  }
  return powers;
}

// The dimension pair that turns `rotations` times over the original context.
double correction_dimension(double rotations, int64_t dims, double theta, double context) {
  return static_cast<double>(dims) * std::log(context / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(theta));
}

std::vector<float> yarn_frequencies(const std::vector<float>& powers,
                                    const RotaryParameters& rotary) {
  const YarnParameters& yarn = *rotary.yarn;
  double low =
      correction_dimension(yarn.beta_fast, rotary.dims, rotary.theta, yarn.original_context);
  double high =
      correction_dimension(yarn.beta_slow, rotary.dims, rotary.theta, yarn.original_context);
  if (yarn.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rotary.dims - 1));
  if (low == high) high += 0.001;
  const auto start = static_cast<float>(low), width = static_cast<float>(high - low);
  const auto factor = static_cast<float>(yarn.factor);
  std::vector<float> frequencies(powers.size());
  for (size_t m = 0; m < powers.size(); ++m) {
    const float ramp = std::clamp((static_cast<float>(m) - start) / width, 0.0f, 1.0f);
    const float kept = 1.0f - ramp;  // share of the unscaled frequency
    const float extrapolated = 1.0f / powers[m];
    const float interpolated = 1.0f / (factor * powers[m]);
    frequencies[m] = interpolated * (1.0f - kept) + extrapolated * kept;
  }
  return frequencies;
}

float yarn_attention_factor(const YarnParameters& yarn) {
  if (yarn.attention_factor) return static_cast<float>(*yarn.attention_factor);
  const auto magnitude = [&](double scale) {
    return yarn.factor <= 1 ? 1.0 : 0.1 * scale * std::log(yarn.factor) + 1.0;
  };
  // Both or neither: a lone mscale is ignored by the reference.
  if (yarn.mscale.value_or(0) != 0 && yarn.mscale_all_dim.value_or(0) != 0) {
    return static_cast<float>(magnitude(*yarn.mscale) / magnitude(*yarn.mscale_all_dim));
  }
  return static_cast<float>(magnitude(1.0));
}

bool positive(double value) { return std::isfinite(value) && value > 0; }

Status check_yarn(const YarnParameters& yarn) {
  if (!positive(yarn.factor))
    return bad_input("rope factor", fmt::format("{} is not a positive number", yarn.factor));
  if (!positive(yarn.original_context)) {
    return bad_input("rope original_max_position_embeddings",
                     fmt::format("{} is not a positive number", yarn.original_context));
  }
  if (!positive(yarn.beta_fast) || !positive(yarn.beta_slow)) {
    return bad_input("rope beta_fast, beta_slow", fmt::format("{} and {} must be positive numbers",
                                                              yarn.beta_fast, yarn.beta_slow));
  }
  if (yarn.attention_factor && !positive(*yarn.attention_factor)) {
    return bad_input("rope attention_factor",
                     fmt::format("{} is not a positive number", *yarn.attention_factor));
  }
  for (const auto& scale : {yarn.mscale, yarn.mscale_all_dim}) {
    if (scale && !std::isfinite(*scale)) return bad_input("rope mscale", "not a finite number");
  }
  return {};
}

}  // namespace

Result<ops::RotaryTable> make_rotary_table(const RotaryParameters& rotary) {
  if (!positive(rotary.theta) || rotary.theta <= 1) {
    return bad_input("rope_theta", fmt::format("{} is not a number above 1", rotary.theta));
  }
  if (rotary.dims <= 0 || rotary.dims % 2 != 0) {
    return bad_input(
        "rotary width",
        fmt::format("{} of a head's dimensions; it must be even and positive", rotary.dims));
  }
  ops::RotaryTable table;
  const std::vector<float> powers = frequency_powers(rotary.theta, rotary.dims);
  if (rotary.yarn) {
    SLUICE_TRY(check_yarn(*rotary.yarn));
    table.inverse_frequencies = yarn_frequencies(powers, rotary);
    table.attention_factor = yarn_attention_factor(*rotary.yarn);
  } else {
    for (const float power : powers) table.inverse_frequencies.push_back(1.0f / power);
  }
  // Interleaved: pairs 1, 4, 7, ... belong to h and 2, 5, 8, ... to w as far as their sections
  // reach; t has the rest.
  for (size_t m = 0; m < powers.size(); ++m) {
    const size_t component = m % 3;
    const bool owned = component != 0 && static_cast<int64_t>(m) < 3 * rotary.sections[component];
    table.components.push_back(static_cast<uint8_t>(owned ? component : 0));
  }
  return table;
}

}  // namespace sluice::model
