#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

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

// The same for values side by side, as the levels themselves: all that are passed, step by step.
// The sum of neighbouring levels is exact, so that a value is passed where its distance from the
// lower one is not smaller, in F32 as in real numbers.
Lanes nearest_levels(Lanes v) {
  Lanes level = all_lanes(static_cast<float>(kIq4Levels[0]));
  for (size_t i = 1; i < kIq4Levels.size(); ++i) {
    const auto low = static_cast<float>(kIq4Levels[i - 1]),
               high = static_cast<float>(kIq4Levels[i]);
    const LaneBits passed = v >= (low + high) / 2;
    level += (Lanes)(passed & (LaneBits)all_lanes(high - low));
  }
  return level;
}

// Scales of four blocks of 32: the best of 2 * kTries + 1 by weighted squared error, after a first
// plain guess.
Lanes search_scales(const SearchBlocks& blocks) {
  const Lanes peak = extremes(blocks);
  struct Sums {
    Lanes qx, q2;
  };
  const auto sums_at = [&](Lanes inverse) {
    Sums sums{};
    for (size_t i = 0; i < kWidth; ++i) {
      const Lanes q = nearest_levels(inverse * blocks.x[i]);
      sums.qx += blocks.weights[i] * q * blocks.x[i];
      sums.q2 += blocks.weights[i] * q * q;
    }
    return sums;
  };
  const auto lowest = static_cast<float>(kIq4Levels[0]);
  Sums sums = sums_at(1.0f / (-peak / lowest));
  Lanes scale = sums.qx / sums.q2;
  Lanes best = scale * sums.qx;
  for (int k = -kTries; k <= kTries; ++k) {
    sums = sums_at((static_cast<float>(k) + lowest) / peak);
    const LaneBits better = (sums.q2 > 0.0f) & (sums.qx * sums.qx > best * sums.q2);
    scale = better ? sums.qx / sums.q2 : scale;
    best = better ? scale * sums.qx : best;
  }
  return magnitudes(peak) < kGroupEpsilon ? Lanes{} : scale;
}

float doubled_mean_square(Row x) {
  float sum = 0;
  for (const float value : x) sum += value * value;
  return sum * (2.0f / static_cast<float>(x.size()));
}

// Scales of `count` blocks. Their elements weigh x^2, or importance times the root of `variance`,
// twice the mean square, plus x^2.
Lanes block_scales(Row x, Row importance, size_t count, Lanes variance) {
  SearchBlocks blocks;
  blocks.take(x, count);
  if (importance.empty()) {
    for (size_t i = 0; i < kWidth; ++i) blocks.weights[i] = blocks.x[i] * blocks.x[i];
  } else {
    blocks.weigh(importance, count, variance);
  }
  return search_scales(blocks);
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
  for (size_t first = 0; first < row.size(); first += kLanes * kWidth) {
    const size_t count = std::min(kLanes, (row.size() - first) / kWidth);
    const Row x = row.subspan(first, count * kWidth);
    Lanes variance{};
    for (size_t lane = 0; lane < count; ++lane)
      variance[lane] = doubled_mean_square(x.subspan(lane * kWidth, kWidth));
    const Lanes scales = block_scales(x, part(importance, first, count * kWidth), count, variance);
    for (size_t lane = 0; lane < count; ++lane, ++out) {
      store_u16(out->d, f32_to_f16(scales[lane]));
      store_levels(x.subspan(lane * kWidth, kWidth), scales[lane], out->qs);
    }
  }
}

void encode_row(Row row, Row importance, BlockIQ4_XS* out) {
  constexpr size_t kBlocks = 8, kSuper = kWidth * kBlocks, kFour = kLanes * kWidth;
  for (size_t first = 0; first < row.size(); first += kSuper, ++out) {
    const Row super = row.subspan(first, kSuper);
    const Lanes variance = all_lanes(doubled_mean_square(super));
    std::array<float, kBlocks> scales;
    for (size_t k = 0; k < kBlocks; k += kLanes) {
      const Lanes found =
          block_scales(super.subspan(k * kWidth, kFour),
                       part(importance, first + k * kWidth, kFour), kLanes, variance);
      std::memcpy(&scales[k], &found, sizeof found);
    }
    float peak = 0;
    for (const float scale : scales) {
      if (std::fabs(scale) > std::fabs(peak)) peak = scale;
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
