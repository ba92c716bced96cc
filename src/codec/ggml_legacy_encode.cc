#include <algorithm>
#include <array>
#include <cmath>

#include "codec/bytes.h"
#include "codec/ggml_encode.h"
#include "codec/ggml_search.h"

namespace sluice::codec {
namespace {

using Row = std::span<const float>;
using Codes = std::array<uint8_t, kLegacyBlock>;

// Element j in the low nibble of byte j, element j + 16 in the high one; fifth bits into qh if
// there is one.
void store_codes(const uint8_t* codes, uint8_t* qs, uint8_t* qh = nullptr) {
  uint32_t fifth = 0;
  for (int j = 0; j < 16; ++j) {
    qs[j] = static_cast<uint8_t>((codes[j] & 15) | ((codes[j + 16] & 15) << 4));
    fifth |= static_cast<uint32_t>(codes[j] >> 4) << j;
    fifth |= static_cast<uint32_t>(codes[j + 16] >> 4) << (j + 16);
  }
  if (qh != nullptr) store_u32(qh, fifth);
}

// Importance times the root of the row's mean square plus the element's square: large weights count
// more.
struct RowWeights {
  RowWeights(Row row, Row columns) : importance(columns) {
    float sum = 0;
    for (const float x : row) sum += x * x;
    mean_square = sum / static_cast<float>(row.size());
  }
  std::array<float, kLegacyBlock> of_block(Row x, size_t first) const {
    std::array<float, kLegacyBlock> weights;
    for (size_t i = 0; i < x.size(); ++i) {
      weights[i] = importance[first + i] * std::sqrt(mean_square + x[i] * x[i]);
    }
    return weights;
  }
  Row importance;
  float mean_square;
};

// Q4_0 and Q5_0: codes 0 .. 2 * half - 1, value d * (q - half). Returns d.
float encode_symmetric(Row x, int half, Codes& codes) {
  float peak = 0;
  for (const float value : x) {
    if (std::fabs(value) > std::fabs(peak)) peak = value;
  }
  const float d = peak / static_cast<float>(-half);
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto code = static_cast<int>(x[i] * inverse + (static_cast<float>(half) + 0.5f));
    codes[i] = static_cast<uint8_t>(std::min(2 * half - 1, code));
  }
  return d;
}

// Q4_1 and Q5_1: codes 0 .. most, value d * q + m.
struct Affine {
  float d, m;
};
Affine encode_affine(Row x, int most, Codes& codes) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const float d = (*high - *low) / static_cast<float>(most);
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  for (size_t i = 0; i < x.size(); ++i) {
    codes[i] =
        static_cast<uint8_t>(std::min(most, static_cast<int>((x[i] - *low) * inverse + 0.5f)));
  }
  return {d, *low};
}

// Calls encode(block, x, weights) for each block; `weights` is empty without importance.
template <typename Block, typename Encode>
void for_each_block(Row row, Row importance, Block* out, Encode encode) {
  const RowWeights row_weights(row, importance);
  for (size_t first = 0; first < row.size(); first += kLegacyBlock, ++out) {
    const Row x = row.subspan(first, kLegacyBlock);
    if (importance.empty()) {
      encode(*out, x, Row{});
    } else {
      encode(*out, x, Row(row_weights.of_block(x, first)));
    }
  }
}

float symmetric_codes(Row x, Row weights, int half, Codes& codes) {
  if (weights.empty()) return encode_symmetric(x, half, codes);
  std::array<int8_t, kLegacyBlock> found;
  const float d = symmetric_search(x, weights, half, found.data());
  std::copy(found.begin(), found.end(), codes.begin());
  return d;
}

Affine affine_codes(Row x, Row weights, int most, Codes& codes) {
  if (weights.empty()) return encode_affine(x, most, codes);
  const AffineFit fit =
      affine_search({most, -0.9f, 0.05f, 36, false, false}, x, weights, codes.data());
  return {fit.scale, -fit.minimum};
}

}  // namespace

void encode_row(Row row, Row importance, BlockQ4_0* out) {
  for_each_block(row, importance, out, [](BlockQ4_0& block, Row x, Row weights) {
    Codes codes;
    store_u16(block.d, f32_to_f16(symmetric_codes(x, weights, 8, codes)));
    store_codes(codes.data(), block.qs);
  });
}

void encode_row(Row row, Row importance, BlockQ5_0* out) {
  for_each_block(row, importance, out, [](BlockQ5_0& block, Row x, Row weights) {
    Codes codes;
    store_u16(block.d, f32_to_f16(symmetric_codes(x, weights, 16, codes)));
    store_codes(codes.data(), block.qs, block.qh);
  });
}

void encode_row(Row row, Row importance, BlockQ4_1* out) {
  for_each_block(row, importance, out, [](BlockQ4_1& block, Row x, Row weights) {
    Codes codes;
    const Affine fit = affine_codes(x, weights, 15, codes);
    store_u16(block.d, f32_to_f16(fit.d));
    store_u16(block.m, f32_to_f16(fit.m));
    store_codes(codes.data(), block.qs);
  });
}

void encode_row(Row row, Row importance, BlockQ5_1* out) {
  for_each_block(row, importance, out, [](BlockQ5_1& block, Row x, Row weights) {
    Codes codes;
    const Affine fit = affine_codes(x, weights, 31, codes);
    store_u16(block.d, f32_to_f16(fit.d));
    store_u16(block.m, f32_to_f16(fit.m));
    store_codes(codes.data(), block.qs, block.qh);
  });
}

// The quotient uses d before its rounding to F16, and rounds halves away from zero.
void encode_row(Row row, Row /*importance*/, BlockQ8_0* out) {
  for (size_t first = 0; first < row.size(); first += kLegacyBlock, ++out) {
    const Row x = row.subspan(first, kLegacyBlock);
    float peak = 0;
    for (const float value : x) peak = std::max(peak, std::fabs(value));
    const float d = peak / 127.0f;
    const float inverse = d != 0 ? 1.0f / d : 0.0f;
    store_u16(out->d, f32_to_f16(d));
    for (size_t i = 0; i < x.size(); ++i)
      out->qs[i] = static_cast<int8_t>(std::round(x[i] * inverse));
  }
}

}  // namespace sluice::codec
