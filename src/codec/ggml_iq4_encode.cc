#include <algorithm>
#include <array>
#include <cmath>

#include "codec/bytes.h"
#include "codec/ggml_encode.h"
#include "codec/ggml_search.h"

namespace sluice::codec {
namespace {

using Row = std::span<const float>;

constexpr size_t kWidth = 32;
constexpr int kTries = 7;  // on each side of the plain scale

// Index of the level nearest to v; the upper one of a tie.
uint8_t nearest_level(float v) {
  // The count of inner levels that are not above v: a comparison each, no branch to mispredict.
  int below = 0;
  for (size_t i = 1; i < 15; ++i) below += v >= static_cast<float>(kIq4Levels[i]) ? 1 : 0;
  const auto low = static_cast<float>(kIq4Levels[static_cast<size_t>(below)]);
  const auto high = static_cast<float>(kIq4Levels[static_cast<size_t>(below) + 1]);
  return static_cast<uint8_t>(v - low < high - v ? below : below + 1);
}

// Scale of one block of 32: the best of 2 * kTries + 1 by weighted squared error, after a first
// plain guess.
float search_scale(Row x, Row weights) {
  float peak = 0;
  for (const float value : x) {
    if (std::fabs(value) > std::fabs(peak)) peak = value;
  }
  if (std::fabs(peak) < kGroupEpsilon) return 0;
  struct Sums {
    float qx = 0, q2 = 0;
  };
  const auto sums_at = [&](float inverse) {
    Sums sums;
    for (size_t i = 0; i < x.size(); ++i) {
      const auto q = static_cast<float>(kIq4Levels[nearest_level(inverse * x[i])]);
      sums.qx += weights[i] * q * x[i];
      sums.q2 += weights[i] * q * q;
    }
    return sums;
  };
  const auto lowest = static_cast<float>(kIq4Levels[0]);
  Sums sums = sums_at(1 / (-peak / lowest));
  float scale = sums.qx / sums.q2;
  float best = scale * sums.qx;
  for (int k = -kTries; k <= kTries; ++k) {
    sums = sums_at((static_cast<float>(k) + lowest) / peak);
    if (sums.q2 > 0 && sums.qx * sums.qx > best * sums.q2) {
      scale = sums.qx / sums.q2;
      best = scale * sums.qx;
    }
  }
  return scale;
}

// Weights inside a super-block: x^2, or importance times the root of twice its mean square plus
// x^2.
std::array<float, kWidth> weights_of(Row x, Row importance, float variance) {
  std::array<float, kWidth> weights;
  for (size_t i = 0; i < kWidth; ++i) {
    weights[i] =
        importance.empty() ? x[i] * x[i] : importance[i] * std::sqrt(variance + x[i] * x[i]);
  }
  return weights;
}

float doubled_mean_square(Row x) {
  float sum = 0;
  for (const float value : x) sum += value * value;
  return sum * (2.0f / static_cast<float>(x.size()));
}

void store_levels(Row x, float scale, uint8_t* qs) {
  const float inverse = scale != 0 ? 1 / scale : 0.0f;
  for (size_t j = 0; j < 16; ++j) {
    qs[j] = static_cast<uint8_t>(nearest_level(inverse * x[j]) |
                                 (nearest_level(inverse * x[j + 16]) << 4));
  }
}

Row part(Row values, size_t first, size_t count) {
  return values.empty() ? Row{} : values.subspan(first, count);
}

}  // namespace

void encode_row(Row row, Row importance, BlockIQ4_NL* out) {
  for (size_t first = 0; first < row.size(); first += kWidth, ++out) {
    const Row x = row.subspan(first, kWidth);
    const float scale =
        search_scale(x, weights_of(x, part(importance, first, kWidth), doubled_mean_square(x)));
    store_u16(out->d, f32_to_f16(scale));
    store_levels(x, scale, out->qs);
  }
}

void encode_row(Row row, Row importance, BlockIQ4_XS* out) {
  constexpr size_t kBlocks = 8, kSuper = kWidth * kBlocks;
  for (size_t first = 0; first < row.size(); first += kSuper, ++out) {
    const Row super = row.subspan(first, kSuper);
    const float variance = doubled_mean_square(super);
    std::array<float, kBlocks> scales;
    float peak = 0;
    for (size_t k = 0; k < kBlocks; ++k) {
      const Row x = super.subspan(k * kWidth, kWidth);
      scales[k] =
          search_scale(x, weights_of(x, part(importance, first + k * kWidth, kWidth), variance));
      if (std::fabs(scales[k]) > std::fabs(peak)) peak = scales[k];
    }
    const float d = -peak / 32;
    const float inverse = d != 0 ? 1 / d : 0.0f;
    *out = {};
    store_u16(out->d, f32_to_f16(d));
    uint32_t high = 0;
    for (size_t k = 0; k < kBlocks; ++k) {
      const int l = round_to_int(inverse * scales[k], -32, 31);
      // Codes are found with d before its rounding to F16, as the reference does.
      store_levels(super.subspan(k * kWidth, kWidth), d * static_cast<float>(l), out->qs + 16 * k);
      const auto stored = static_cast<uint32_t>(l + 32);
      out->scales_l[k / 2] =
          static_cast<uint8_t>(out->scales_l[k / 2] | ((stored & 15) << (4 * (k % 2))));
      high |= (stored >> 4) << (2 * k);
    }
    store_u16(out->scales_h, static_cast<uint16_t>(high));
  }
}

}  // namespace sluice::codec
