#include "tools/quantize/fp8_search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "codec/number_formats.h"

namespace sluice::quantize {
namespace {

constexpr int kCandidates = 24;  // over one binade

float stored_value(float scale, DType stored) {
  return stored == DType::kBF16 ? codec::round_to_bf16(scale) : scale;
}

// The value of the nearest E4M3 code, without a table: adding and subtracting a power of two rounds
// to the step of the value's binade. |value| is at most 448 or saturates.
inline float nearest_e4m3(float magnitude) {
  const float limited = std::min(magnitude, codec::kE4m3Max);
  const uint32_t exponent = std::max(std::bit_cast<uint32_t>(limited) & 0x7F800000u, 0x3C800000u);
  const float shift = std::bit_cast<float>(exponent + (20u << 23));  // 2^20 times the binade
  return (limited + shift) - shift;
}

float squared_error(std::span<const float> values, float scale) {
  float sum = 0;
  for (const float value : values) {
    const float magnitude = std::fabs(value);
    const float difference = magnitude - nearest_e4m3(magnitude / scale) * scale;
    sum += difference * difference;
  }
  return sum;
}

}  // namespace

float plain_fp8_scale(float amax, DType stored) {
  if (amax == 0) return 0x1p-7f;
  return stored_value(std::max(amax / codec::kE4m3Max, std::numeric_limits<float>::min()), stored);
}

float best_fp8_scale(std::span<const float> values, DType stored) {
  float amax = 0;
  for (const float value : values) amax = std::max(amax, std::fabs(value));
  const float plain = plain_fp8_scale(amax, stored);
  if (amax == 0) return plain;
  float best = plain, error = squared_error(values, plain);
  for (int i = -kCandidates / 4; i < kCandidates; ++i) {
    const float scale = stored_value(
        plain * std::exp2(static_cast<float>(i) / static_cast<float>(kCandidates)), stored);
    if (scale < std::numeric_limits<float>::min()) continue;
    const float candidate = squared_error(values, scale);
    if (candidate < error) {
      error = candidate;
      best = scale;
    }
  }
  return best;
}

double encode_fp8_values(std::span<const float> values, float scale, uint8_t* codes) {
  double sum = 0;
  for (const float value : values) {
    *codes = codec::f32_to_e4m3(value / scale);
    const double difference =
        static_cast<double>(codec::kE4m3Values[*codes] * scale) - static_cast<double>(value);
    sum += difference * difference;
    ++codes;
  }
  return sum;
}

}  // namespace sluice::quantize
