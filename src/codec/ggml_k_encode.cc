#include <algorithm>
#include <array>
#include <cmath>

#include "codec/bytes.h"
#include "codec/ggml_encode.h"
#include "codec/ggml_search.h"

namespace sluice::codec {
namespace {

using Row = std::span<const float>;
using Codes = std::array<uint8_t, kSuperBlock>;

float sum_of_squares(Row x) {
  float sum = 0;
  for (const float value : x) sum += value * value;
  return sum;
}

// Importance times the root of `variance` plus the element's square; returns their sum.
float importance_weights(Row x, Row importance, float variance, float* weights) {
  float sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    weights[i] = importance[i] * std::sqrt(variance + x[i] * x[i]);
    sum += weights[i];
  }
  return sum;
}

// Integer scales of kBlocks sub-blocks and the float that multiplies them.
template <size_t kBlocks>
struct IntegerScales {
  std::array<uint8_t, kBlocks> scales{}, mins{};
  float d = 0, dmin = 0;  // before their rounding to F16
};

// Without importance: the largest scale becomes `most`.
template <size_t kBlocks>
float round_scales(const std::array<float, kBlocks>& values, int most,
                   std::array<uint8_t, kBlocks>& out) {
  float peak = 0;  // +0, so that an all-zero block stores F16 bits 0x0000
  for (const float value : values) peak = std::max(peak, value);
  if (!(peak > 0)) return 0;
  const float inverse = static_cast<float>(most) / peak;
  for (size_t j = 0; j < kBlocks; ++j) {
    const auto rounded = static_cast<uint8_t>(round_to_int(inverse * values[j]));
    out[j] = std::min(static_cast<uint8_t>(most), rounded);
  }
  return peak / static_cast<float>(most);
}

// Q2_K, Q4_K and Q5_K: sub-blocks with scale and minimum.
struct AffineType {
  AffineSearch plain, weighted;
  size_t width;    // of a sub-block
  int most_scale;  // of the integer scales
  float variance;  // factor on the super-block's mean square in the importance weights
};

// Weights of a sub-block when no importance is known.
void plain_weights(const AffineType& type, Row x, float* weights) {
  // Q2_K judges by absolute error with |x| alone; the wider types add the sub-block's root mean
  // square.
  const float base = type.plain.absolute_error
                         ? 0.0f
                         : std::sqrt(sum_of_squares(x) / static_cast<float>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) weights[i] = base + std::fabs(x[i]);
}

template <size_t kBlocks>
IntegerScales<kBlocks> search_super_block(const AffineType& type, Row x, Row importance,
                                          Codes& codes) {
  std::array<float, kBlocks> scales, mins, weight_sums;
  std::array<float, 32> weights;
  const float variance = type.variance * sum_of_squares(x) / static_cast<float>(kSuperBlock);
  for (size_t j = 0; j < kBlocks; ++j) {
    const Row sub = x.subspan(j * type.width, type.width);
    const Row sub_weights(weights.data(), type.width);
    if (importance.empty()) {
      plain_weights(type, sub, weights.data());
    } else {
      weight_sums[j] = importance_weights(sub, importance.subspan(j * type.width, type.width),
                                          variance, weights.data());
    }
    const AffineFit fit = affine_search(importance.empty() ? type.plain : type.weighted, sub,
                                        sub_weights, codes.data() + j * type.width);
    scales[j] = fit.scale;
    mins[j] = fit.minimum;
  }
  IntegerScales<kBlocks> result;
  if (importance.empty()) {
    result.d = round_scales(scales, type.most_scale, result.scales);
    result.dmin = round_scales(mins, type.most_scale, result.mins);
  } else {
    result.d = positive_search(scales, weight_sums, type.most_scale, result.scales.data());
    result.dmin = positive_search(mins, weight_sums, type.most_scale, result.mins.data());
  }
  return result;
}

// Codes anew for the scales as they are stored. Where the stored scale is 0 the search's codes
// stay.
template <size_t kBlocks>
void recode(const AffineType& type, Row x, const IntegerScales<kBlocks>& integers, Codes& codes) {
  const float d = round_to_f16(integers.d), dmin = round_to_f16(integers.dmin);
  for (size_t j = 0; j < kBlocks; ++j) {
    const float scale = d * static_cast<float>(integers.scales[j]);
    if (scale == 0) continue;
    const float minimum = dmin * static_cast<float>(integers.mins[j]);
    for (size_t i = j * type.width; i < (j + 1) * type.width; ++i) {
      codes[i] = static_cast<uint8_t>(round_to_int((x[i] + minimum) / scale, 0, type.plain.most));
    }
  }
}

constexpr AffineType kQ2 = {
    {3, -0.5f, 0.1f, 15, true, true}, {3, -0.9f, 0.05f, 36, false, false}, 16, 15, 1};
constexpr AffineType kQ4 = {
    {15, -1.0f, 0.1f, 20, false, true}, {15, -0.9f, 0.05f, 36, false, false}, 32, 63, 2};
constexpr AffineType kQ5 = {
    {31, -0.5f, 0.1f, 15, false, true}, {31, -0.9f, 0.05f, 36, false, false}, 32, 63, 2};

// Two-bit codes of Q2_K and Q3_K: elements l, l + 32, l + 64, l + 96 of a half share a byte.
void store_two_bits(const Codes& codes, uint8_t* qs) {
  for (size_t half = 0; half < 2; ++half) {
    for (size_t l = 0; l < 32; ++l) {
      const uint8_t* q = codes.data() + 128 * half + l;
      qs[32 * half + l] = static_cast<uint8_t>((q[0] & 3) | ((q[32] & 3) << 2) |
                                               ((q[64] & 3) << 4) | ((q[96] & 3) << 6));
    }
  }
}

// Low nibbles of Q4_K and Q5_K: elements l and l + 32 of a chunk of 64 share a byte.
void store_nibbles(const Codes& codes, uint8_t* qs) {
  for (size_t chunk = 0; chunk < 4; ++chunk) {
    for (size_t l = 0; l < 32; ++l) {
      const uint8_t* q = codes.data() + 64 * chunk + l;
      qs[32 * chunk + l] = static_cast<uint8_t>((q[0] & 15) | ((q[32] & 15) << 4));
    }
  }
}

// One bit of each code into the 32 bytes of qh or hmask: bit i / 32 of byte i mod 32.
void store_high_bit(const Codes& codes, int bit, uint8_t* bytes) {
  std::fill_n(bytes, 32, uint8_t{0});
  for (size_t i = 0; i < kSuperBlock; ++i) {
    bytes[i % 32] = static_cast<uint8_t>(bytes[i % 32] | (((codes[i] >> bit) & 1) << (i / 32)));
  }
}

// Calls encode(block, x, importance of its columns) for each super-block.
template <typename Block, typename Encode>
void for_each_block(Row row, Row importance, Block* out, Encode encode) {
  for (size_t first = 0; first < row.size(); first += kSuperBlock, ++out) {
    encode(*out, row.subspan(first, kSuperBlock),
           importance.empty() ? Row{} : importance.subspan(first, kSuperBlock));
  }
}

void store_super_scales(const IntegerScales<8>& integers, uint8_t* d, uint8_t* dmin,
                        uint8_t* packed) {
  store_u16(d, f32_to_f16(integers.d));
  store_u16(dmin, f32_to_f16(integers.dmin));
  pack_k4_scales(integers.scales.data(), integers.mins.data(), packed);
}

// Codes -4 .. 3 or -32 .. 31 anew for stored scales; where a scale is 0 the search's codes stay.
template <size_t kBlocks>
void recode_symmetric(Row x, float d, const std::array<int, kBlocks>& scales, int most,
                      Codes& codes) {
  constexpr size_t kWidth = kSuperBlock / kBlocks;
  for (size_t j = 0; j < kBlocks; ++j) {
    const float scale = d * static_cast<float>(scales[j]);
    if (scale == 0) continue;
    for (size_t i = j * kWidth; i < (j + 1) * kWidth; ++i) {
      codes[i] = static_cast<uint8_t>(round_to_int(x[i] / scale, -most, most - 1) + most);
    }
  }
}

// The scale of largest magnitude, the first of equals, with its sign.
float extreme_scale(const std::array<float, 16>& scales) {
  float found = 0;
  for (const float scale : scales) {
    if (std::fabs(scale) > std::fabs(found)) found = scale;
  }
  return found;
}

}  // namespace

void encode_row(Row row, Row importance, BlockQ2_K* out) {
  for_each_block(row, importance, out, [](BlockQ2_K& block, Row x, Row weights) {
    Codes codes;
    const auto integers = search_super_block<16>(kQ2, x, weights, codes);
    recode(kQ2, x, integers, codes);
    store_u16(block.d, f32_to_f16(integers.d));
    store_u16(block.dmin, f32_to_f16(integers.dmin));
    for (size_t j = 0; j < 16; ++j) {
      block.scales[j] = static_cast<uint8_t>(integers.scales[j] | (integers.mins[j] << 4));
    }
    store_two_bits(codes, block.qs);
  });
}

void encode_row(Row row, Row importance, BlockQ3_K* out) {
  for_each_block(row, importance, out, [](BlockQ3_K& block, Row x, Row columns) {
    Codes codes;
    std::array<float, 16> scales, weight_sums, weights;
    std::array<int8_t, 16> found;
    const float variance = 2 * sum_of_squares(x) / static_cast<float>(kSuperBlock);
    for (size_t j = 0; j < 16; ++j) {
      const Row sub = x.subspan(16 * j, 16);
      if (columns.empty()) {
        scales[j] = symmetric_descent(sub, 4, found.data());
      } else {
        weight_sums[j] =
            importance_weights(sub, columns.subspan(16 * j, 16), variance, weights.data());
        scales[j] = symmetric_search(sub, weights, 4, found.data());
      }
      std::copy(found.begin(), found.end(), codes.begin() + static_cast<ptrdiff_t>(16 * j));
    }
    std::array<uint8_t, 16> stored{};  // 0 .. 63
    float d = 0;
    if (!columns.empty()) {
      d = symmetric_search(scales, weight_sums, 32, found.data());
      std::copy(found.begin(), found.end(), stored.begin());
    } else if (const float peak = extreme_scale(scales); peak != 0) {
      const float inverse = -32.0f / peak;
      for (size_t j = 0; j < 16; ++j) {
        stored[j] = static_cast<uint8_t>(round_to_int(inverse * scales[j], -32, 31) + 32);
      }
      d = 1 / inverse;
    }
    std::array<int, 16> integers;
    for (size_t j = 0; j < 16; ++j) integers[j] = stored[j] - 32;
    recode_symmetric(x, round_to_f16(d), integers, 4, codes);
    store_u16(block.d, f32_to_f16(d));
    pack_q3_k_scales(stored.data(), block.scales);
    store_two_bits(codes, block.qs);
    store_high_bit(codes, 2, block.hmask);
  });
}

void encode_row(Row row, Row importance, BlockQ4_K* out) {
  for_each_block(row, importance, out, [](BlockQ4_K& block, Row x, Row weights) {
    Codes codes;
    const auto integers = search_super_block<8>(kQ4, x, weights, codes);
    recode(kQ4, x, integers, codes);
    store_super_scales(integers, block.d, block.dmin, block.scales);
    store_nibbles(codes, block.qs);
  });
}

void encode_row(Row row, Row importance, BlockQ5_K* out) {
  for_each_block(row, importance, out, [](BlockQ5_K& block, Row x, Row weights) {
    Codes codes;
    const auto integers = search_super_block<8>(kQ5, x, weights, codes);
    recode(kQ5, x, integers, codes);
    store_super_scales(integers, block.d, block.dmin, block.scales);
    store_nibbles(codes, block.qs);
    store_high_bit(codes, 4, block.qh);
  });
}

void encode_row(Row row, Row importance, BlockQ6_K* out) {
  for_each_block(row, importance, out, [](BlockQ6_K& block, Row x, Row columns) {
    Codes codes;
    std::array<float, 16> scales, weights;
    std::array<int8_t, 16> found;
    for (size_t j = 0; j < 16; ++j) {
      const Row sub = x.subspan(16 * j, 16);
      for (size_t i = 0; i < 16; ++i)
        weights[i] = columns.empty() ? sub[i] * sub[i] : columns[16 * j + i];
      scales[j] = symmetric_search(sub, weights, 32, found.data());
      std::copy(found.begin(), found.end(), codes.begin() + static_cast<ptrdiff_t>(16 * j));
    }
    const float peak = extreme_scale(scales);
    block = {};
    if (std::fabs(peak) < kGroupEpsilon) return;
    const float inverse = -128.0f / peak;
    const uint16_t d = f32_to_f16(1 / inverse);
    std::array<int, 16> integers;
    for (size_t j = 0; j < 16; ++j) {
      integers[j] = std::min(127, round_to_int(inverse * scales[j]));
      block.scales[j] = static_cast<int8_t>(integers[j]);
    }
    recode_symmetric(x, f16_to_f32(d), integers, 32, codes);
    store_u16(block.d, d);
    for (size_t half = 0; half < 2; ++half) {
      for (size_t l = 0; l < 32; ++l) {
        const uint8_t* q = codes.data() + 128 * half + l;
        block.ql[64 * half + l] = static_cast<uint8_t>((q[0] & 15) | ((q[64] & 15) << 4));
        block.ql[64 * half + 32 + l] = static_cast<uint8_t>((q[32] & 15) | ((q[96] & 15) << 4));
        block.qh[32 * half + l] = static_cast<uint8_t>((q[0] >> 4) | ((q[32] >> 4) << 2) |
                                                       ((q[64] >> 4) << 4) | ((q[96] >> 4) << 6));
      }
    }
  });
}

}  // namespace sluice::codec
