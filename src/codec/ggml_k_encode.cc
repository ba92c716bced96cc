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
using Codes = std::array<uint8_t, kSuperBlock>;

float sum_of_squares(Row x) {
  float sum = 0;
  for (const float value : x) sum += value * value;
  return sum;
}

// Sub-blocks j .. j + 3 of `width` elements.
Row four_from(Row values, size_t j, size_t width) {
  return values.subspan(j * width, kLanes * width);
}

// Weighs by importance in `blocks`; returns the sums of the weights.
Lanes weigh_by_importance(SearchBlocks& blocks, Row importance, float variance) {
  blocks.weigh(importance, kLanes, all_lanes(variance));
  Lanes sum{};
  for (size_t i = 0; i < blocks.width; ++i) sum += blocks.weights[i];
  return sum;
}

// The scales that four sub-blocks found are in turn searched as one block.
template <size_t kCount>
float search_scales(const std::array<float, kCount>& scales,
                    const std::array<float, kCount>& weights, int most, uint8_t* stored) {
  SearchBlocks alone;
  alone.take(scales, 1);
  for (size_t i = 0; i < kCount; ++i) alone.weights[i] = Lanes{weights[i]};
  std::array<uint8_t, kLanes * kCount> codes;
  const Lanes found = symmetric_search(alone, most, codes.data());
  std::copy_n(codes.begin(), kCount, stored);
  return found[0];
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

// Weights when no importance is known: Q2_K judges by absolute error with |x| alone; the wider
// types add the sub-block's root mean square.
void weigh_by_magnitude(const AffineType& type, SearchBlocks& blocks) {
  Lanes base{};
  if (!type.plain.absolute_error) {
    Lanes sum{};
    for (size_t i = 0; i < blocks.width; ++i) sum += blocks.x[i] * blocks.x[i];
    base = square_roots(sum / static_cast<float>(blocks.width));
  }
  for (size_t i = 0; i < blocks.width; ++i) blocks.weights[i] = base + magnitudes(blocks.x[i]);
}

template <size_t kBlocks>
IntegerScales<kBlocks> search_super_block(const AffineType& type, Row x, Row importance,
                                          Codes& codes) {
  std::array<float, kBlocks> scales, mins, weight_sums;
  const float variance = type.variance * sum_of_squares(x) / static_cast<float>(kSuperBlock);
  SearchBlocks blocks;
  for (size_t j = 0; j < kBlocks; j += kLanes) {
    blocks.take(four_from(x, j, type.width), kLanes);
    if (importance.empty()) {
      weigh_by_magnitude(type, blocks);
    } else {
      const Lanes sums =
          weigh_by_importance(blocks, four_from(importance, j, type.width), variance);
      std::memcpy(&weight_sums[j], &sums, sizeof sums);
    }
    const AffineFits fits = affine_search(importance.empty() ? type.plain : type.weighted, blocks,
                                          codes.data() + j * type.width);
    std::memcpy(&scales[j], &fits.scale, sizeof fits.scale);
    std::memcpy(&mins[j], &fits.minimum, sizeof fits.minimum);
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
  const Lanes most = all_lanes(static_cast<float>(type.plain.most));
  for (size_t j = 0; j < kBlocks; ++j) {
    const float scale = d * static_cast<float>(integers.scales[j]);
    if (scale == 0) continue;
    const float minimum = dmin * static_cast<float>(integers.mins[j]);
    for (size_t i = j * type.width; i < (j + 1) * type.width; i += kLanes) {
      const Lanes wanted = (load_lanes(&x[i]) + minimum) / scale;
      store_codes(nearest_within(wanted, Lanes{}, most), &codes[i], 1);
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
  const Lanes half = all_lanes(static_cast<float>(most));
  for (size_t j = 0; j < kBlocks; ++j) {
    const float scale = d * static_cast<float>(scales[j]);
    if (scale == 0) continue;
    for (size_t i = j * kWidth; i < (j + 1) * kWidth; i += kLanes) {
      const Lanes code = nearest_within(load_lanes(&x[i]) / scale, -half, half - 1.0f);
      store_codes(code + half, &codes[i], 1);
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
    std::array<float, 16> scales;
    std::array<uint8_t, 16> stored{};  // 0 .. 63
    float d = 0;
    if (columns.empty()) {
      std::array<int8_t, 16> found;
      for (size_t j = 0; j < 16; ++j) {
        scales[j] = symmetric_descent(x.subspan(16 * j, 16), 4, found.data());
        std::copy(found.begin(), found.end(), codes.begin() + static_cast<ptrdiff_t>(16 * j));
      }
      if (const float peak = extreme_scale(scales); peak != 0) {
        const float inverse = -32.0f / peak;
        for (size_t j = 0; j < 16; ++j) {
          stored[j] = static_cast<uint8_t>(round_to_int(inverse * scales[j], -32, 31) + 32);
        }
        d = 1 / inverse;
      }
    } else {
      std::array<float, 16> weight_sums;
      const float variance = 2 * sum_of_squares(x) / static_cast<float>(kSuperBlock);
      SearchBlocks blocks;
      for (size_t j = 0; j < 16; j += kLanes) {
        blocks.take(four_from(x, j, 16), kLanes);
        const Lanes sums = weigh_by_importance(blocks, four_from(columns, j, 16), variance);
        const Lanes found = symmetric_search(blocks, 4, &codes[16 * j]);
        std::memcpy(&weight_sums[j], &sums, sizeof sums);
        std::memcpy(&scales[j], &found, sizeof found);
      }
      d = search_scales(scales, weight_sums, 32, stored.data());
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
    std::array<float, 16> scales;
    SearchBlocks blocks, importance_of;
    for (size_t j = 0; j < 16; j += kLanes) {
      blocks.take(four_from(x, j, 16), kLanes);
      if (!columns.empty()) importance_of.take(four_from(columns, j, 16), kLanes);
      for (size_t i = 0; i < 16; ++i)
        blocks.weights[i] = columns.empty() ? blocks.x[i] * blocks.x[i] : importance_of.x[i];
      const Lanes found = symmetric_search(blocks, 32, &codes[16 * j]);
      std::memcpy(&scales[j], &found, sizeof found);
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
