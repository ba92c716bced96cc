#include <algorithm>
#include <cmath>

#include "codec/ggml_encode.h"
#include "codec/number_formats.h"

namespace sluice::codec {
namespace {

using Row = std::span<const float>;

float peak_of(Row x) {
  float peak = 0;
  for (const float value : x) peak = std::max(peak, std::fabs(value));
  return peak;
}

// The code whose value times `scale` is nearest, the first of equals: ties go to the smaller
// magnitude, zero to code 0.
uint8_t nearest_code(float x, float scale) {
  size_t best = 0;
  float distance = std::fabs(kE2m1Values[0] * scale - x);
  for (size_t code = 1; code < 16; ++code) {
    const float trial = std::fabs(kE2m1Values[code] * scale - x);
    if (trial < distance) {
      distance = trial;
      best = code;
    }
  }
  return static_cast<uint8_t>(best);
}

// ggml's own conversion to an unsigned E4M3 scale, which is not RNE (quantization-algorithms.md
// section 5): one bit decides, halves go up; from 248 on everything becomes 448; subnormals stop at
// code 7.
uint8_t ggml_ue4m3(float value) {
  if (!(value > 0)) return 0;
  if (value >= 248) return kE4m3MaxCode;
  if (value < 0x1p-6f)
    return static_cast<uint8_t>(std::min(7, static_cast<int>(value * 512 + 0.5f)));
  const uint32_t bits = std::bit_cast<uint32_t>(value) + (1u << 19);  // half of the last kept bit
  return static_cast<uint8_t>((bits >> 20) - (120u << 3));
}

}  // namespace

void encode_row(Row row, Row /*importance*/, BlockGgmlMxfp4* out) {
  for (size_t first = 0; first < row.size(); first += 32, ++out) {
    const Row x = row.subspan(first, 32);
    const float peak = peak_of(x);
    // floor(log2 amax) - 2, the exponent that brings amax under 8.
    out->e = peak > 0 ? static_cast<uint8_t>(std::clamp(std::ilogb(peak) - 2 + 127, 0, 254))
                      : uint8_t{0};
    const float scale = e8m0_to_f32(out->e);
    for (size_t j = 0; j < 16; ++j) {
      out->qs[j] =
          static_cast<uint8_t>(nearest_code(x[j], scale) | (nearest_code(x[j + 16], scale) << 4));
    }
  }
}

void encode_row(Row row, Row /*importance*/, BlockGgmlNvfp4* out) {
  for (size_t first = 0; first < row.size(); first += 64, ++out) {
    for (size_t s = 0; s < 4; ++s) {
      const Row x = row.subspan(first + 16 * s, 16);
      out->d[s] = ggml_ue4m3(peak_of(x) / kE2m1Max);
      const float scale = kUe4m3Values[out->d[s]];
      for (size_t j = 0; j < 8; ++j) {
        out->qs[8 * s + j] =
            static_cast<uint8_t>(nearest_code(x[j], scale) | (nearest_code(x[j + 8], scale) << 4));
      }
    }
  }
}

}  // namespace sluice::codec
