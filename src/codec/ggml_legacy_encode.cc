#include <algorithm>
#include <array>
#include <cmath>

#include "codec/bytes.h"
#include "codec/ggml_encode.h"
#include "codec/ggml_search.h"

namespace sluice::codec {
namespace {

using Row = std::span<const float>;

// Element j in the low nibble of byte j, element j + 16 in the high one; fifth bits into qh if
// there is one.
void pack_codes(const uint8_t* codes, uint8_t* qs, uint8_t* qh = nullptr) {
  uint32_t fifth = 0;
  for (int j = 0; j < 16; ++j) {
    qs[j] = static_cast<uint8_t>((codes[j] & 15) | ((codes[j + 16] & 15) << 4));
    fifth |= static_cast<uint32_t>(codes[j] >> 4) << j;
    fifth |= static_cast<uint32_t>(codes[j + 16] >> 4) << (j + 16);
  }
  if (qh != nullptr) store_u32(qh, fifth);
}

// A block is approximated by d * q + m; Q4_0 and Q5_0 know m without storing it.
struct Fit {
  float d = 0, m = 0;
};

// Q4_0 and Q5_0: codes 0 .. 2 * half - 1, value d * (q - half).
Fit encode_symmetric(Row x, int half, uint8_t* codes) {
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
  return {d};
}

// Q4_1 and Q5_1: codes 0 .. most.
Fit encode_affine(Row x, int most, uint8_t* codes) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const float d = (*high - *low) / static_cast<float>(most);
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  for (size_t i = 0; i < x.size(); ++i) {
    codes[i] =
        static_cast<uint8_t>(std::min(most, static_cast<int>((x[i] - *low) * inverse + 0.5f)));
  }
  return {d, *low};
}

float mean_square(Row row) {
  float sum = 0;
  for (const float x : row) sum += x * x;
  return sum / static_cast<float>(row.size());
}

// How a type finds fit and codes: of one block without importance, of four with it.
struct SymmetricType {
  int half;
  Fit plain(Row x, uint8_t* codes) const { return encode_symmetric(x, half, codes); }
  AffineFits search(const SearchBlocks& blocks, uint8_t* codes) const {
    return {symmetric_search(blocks, half, codes), Lanes{}};
  }
};
struct AffineType {
  int most;
  Fit plain(Row x, uint8_t* codes) const { return encode_affine(x, most, codes); }
  AffineFits search(const SearchBlocks& blocks, uint8_t* codes) const {
    return affine_search({most, -0.9f, 0.05f, 36, false, false}, blocks, codes);
  }
};

// Calls store(block, fit, codes) for each block. With importance large weights count more: it is
// taken times the root of the row's mean square plus the element's square.
template <typename Type, typename Block, typename Store>
void encode_blocks(const Type& type, Row row, Row importance, Block* out, Store store) {
  std::array<uint8_t, kLanes * kLegacyBlock> codes;
  if (importance.empty()) {
    for (size_t first = 0; first < row.size(); first += kLegacyBlock, ++out) {
      const Fit fit = type.plain(row.subspan(first, kLegacyBlock), codes.data());
      store(*out, fit, codes.data());
    }
    return;
  }
  const Lanes variance = all_lanes(mean_square(row));
  SearchBlocks blocks;
  for (size_t first = 0; first < row.size(); first += blocks.width * kLanes) {
    const size_t count = std::min(kLanes, (row.size() - first) / kLegacyBlock);
    blocks.take(row.subspan(first, count * kLegacyBlock), count);
    blocks.weigh(importance.subspan(first, count * kLegacyBlock), count, variance);
    const AffineFits fits = type.search(blocks, codes.data());
    for (size_t lane = 0; lane < count; ++lane, ++out)
      store(*out, {fits.scale[lane], -fits.minimum[lane]}, codes.data() + lane * kLegacyBlock);
  }
}

}  // namespace

void encode_row(Row row, Row importance, BlockQ4_0* out) {
  encode_blocks(SymmetricType{8}, row, importance, out,
                [](BlockQ4_0& block, const Fit& fit, const uint8_t* codes) {
                  store_u16(block.d, f32_to_f16(fit.d));
                  pack_codes(codes, block.qs);
                });
}

void encode_row(Row row, Row importance, BlockQ5_0* out) {
  encode_blocks(SymmetricType{16}, row, importance, out,
                [](BlockQ5_0& block, const Fit& fit, const uint8_t* codes) {
                  store_u16(block.d, f32_to_f16(fit.d));
                  pack_codes(codes, block.qs, block.qh);
                });
}

void encode_row(Row row, Row importance, BlockQ4_1* out) {
  encode_blocks(AffineType{15}, row, importance, out,
                [](BlockQ4_1& block, const Fit& fit, const uint8_t* codes) {
                  store_u16(block.d, f32_to_f16(fit.d));
                  store_u16(block.m, f32_to_f16(fit.m));
                  pack_codes(codes, block.qs);
                });
}

void encode_row(Row row, Row importance, BlockQ5_1* out) {
  encode_blocks(AffineType{31}, row, importance, out,
                [](BlockQ5_1& block, const Fit& fit, const uint8_t* codes) {
                  store_u16(block.d, f32_to_f16(fit.d));
                  store_u16(block.m, f32_to_f16(fit.m));
                  pack_codes(codes, block.qs, block.qh);
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
