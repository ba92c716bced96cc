#include "tools/quantize/nvfp4_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "codec/number_formats.h"

namespace sluice::quantize {
namespace {

constexpr size_t kMaxGroup = 32;

struct Block {
  std::array<float, kMaxGroup> magnitude{}, weight{};
  size_t size = 0;
  float amax = 0;
};

float block_error(const Block& block, float factor) {
  std::array<float, kMaxGroup> errors;
  for (size_t i = 0; i < block.size; ++i) {
    const float difference =
        block.magnitude[i] - nearest_e2m1(block.magnitude[i] / factor) * factor;
    errors[i] = block.weight[i] * difference * difference;
  }
  float sum = 0;
  for (size_t i = 0; i < block.size; ++i) sum += errors[i];
  return sum;
}

float factor_of(uint8_t scale, float divisor) { return codec::kE4m3Values[scale] / divisor; }

uint8_t plain_scale(float amax, float divisor, float stretch) {
  const float wanted = stretch * (amax * divisor / codec::kE2m1Max);
  return codec::f32_to_e4m3(std::clamp(wanted, codec::kE4m3MinSubnormal, codec::kE4m3Max));
}

uint8_t best_scale(const Block& block, float divisor, ScaleSearch search, bool weighted) {
  const ScaleCandidates candidates = scale_candidates(block.amax, divisor, search, weighted);
  uint8_t best = candidates.codes.front();
  if (candidates.count == 1) return best;
  float error = block_error(block, factor_of(best, divisor));
  for (size_t i = 1; i < candidates.count; ++i) {
    const float candidate = block_error(block, factor_of(candidates.codes[i], divisor));
    if (candidate < error) {
      error = candidate;
      best = candidates.codes[i];
    }
  }
  return best;
}

}  // namespace

float power_of_two_divisor(float amax, bool w4a8) {
  if (amax == 0) return 1.0f;
  const float limit = w4a8 ? codec::kE4m3Max : codec::kE2m1Max * 256.0f;
  const float divisor = std::exp2(std::floor(std::log2(limit / amax)));
  return std::isfinite(divisor) ? divisor : 0x1p127f;
}

ScaleCandidates scale_candidates(float amax, float divisor, ScaleSearch search, bool weighted) {
  ScaleCandidates out;
  out.codes[out.count++] = plain_scale(amax, divisor, 1.0f);
  if (search == ScaleSearch::kFourOverSix)
    out.codes[out.count++] = plain_scale(amax, divisor, 1.5f);
  if (search != ScaleSearch::kSweep) return out;
  // Outside 0.75 .. 1.7 of the plain scale no better one was ever found; with weights the largest
  // element may matter little, which reaches further down. Eight codes a binade: both fit.
  const uint8_t first = plain_scale(amax, divisor, weighted ? 0.4f : 0.75f);
  const uint8_t last = plain_scale(amax, divisor, weighted ? 2.0f : 1.7f);
  for (int scale = first; scale <= last; ++scale)
    out.codes[out.count++] = static_cast<uint8_t>(scale);
  return out;
}

void encode_nvfp4_row(std::span<const float> row, std::span<const float> importance, int64_t group,
                      float divisor, ScaleSearch search, uint8_t* scales, uint8_t* codes) {
  Block block;
  block.size = static_cast<size_t>(group);
  block.weight.fill(1.0f);
  for (size_t first = 0; first < row.size(); first += block.size, ++scales) {
    block.amax = 0;
    for (size_t i = 0; i < block.size; ++i) {
      block.magnitude[i] = std::fabs(row[first + i]);
      block.amax = std::max(block.amax, block.magnitude[i]);
      if (!importance.empty()) block.weight[i] = importance[first + i];
    }
    *scales =
        block.amax == 0 ? kZeroGroupScale : best_scale(block, divisor, search, !importance.empty());
    const float factor = factor_of(*scales, divisor);
    for (size_t i = 0; i < block.size; i += 2) {
      const auto code = [&](size_t at) {
        const uint8_t magnitude = codec::f32_to_e2m1(block.magnitude[at] / factor);
        const bool negative = row[first + at] < 0 && magnitude != 0;  // no minus zero
        return static_cast<uint8_t>(magnitude | (negative ? 8 : 0));
      };
      *codes++ = static_cast<uint8_t>(code(i) | (code(i + 1) << 4));
    }
  }
}

}  // namespace sluice::quantize
