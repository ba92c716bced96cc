// ggml's formats, whole units (spec/formats-gguf.md 4; the order of codes is product.h's).
#include "backend/cpu/pack/lines.h"
#include "backend/cpu/pack/whole_units.h"
#include "codec/ggml_fp4.h"
#include "codec/ggml_iq4.h"
#include "codec/ggml_k.h"
#include "codec/ggml_legacy.h"

namespace sluice::cpu {
namespace {

// The blocks of sixteen rows that make a unit.
template <typename Block>
struct Rows {
  const Block* row[kGroupRows];
  size_t stride;  // bytes

  Rows(const EncodedMatrix& source, int64_t first_row, int64_t unit, int columns) {
    const int64_t per_row = source.columns / columns;
    const auto* blocks = reinterpret_cast<const Block*>(source.codes.bytes.data());
    blocks += first_row * per_row + unit * (kIntegerColumns / columns);
    for (int r = 0; r < kGroupRows; ++r) row[r] = blocks + r * per_row;
    stride = static_cast<size_t>(per_row) * sizeof(Block);
  }
  const Block& operator()(int r, int block = 0) const { return row[r][block]; }
};

// d, dmin and the twelve bytes of scales, which Q4_K and Q5_K begin with.
template <typename Block>
void pack_k4_scales(const Rows<Block>& rows, const UnitShape& shape, uint8_t* out) {
  Bytes columns[16];
  transpose_bytes<16>(rows.row[0]->d, rows.stride, columns);
  for (int half = 0; half < 2; ++half) {
    const Bytes low = columns[2 * half], high = columns[2 * half + 1];
    store_vector(zip_low(low, high), out + shape.super_offset + 32 * half);
    store_vector(zip_high(low, high), out + shape.super_offset + 32 * half + 16);
  }
  for (int i = 0; i < 12; ++i) store_vector(columns[4 + i], out + shape.scale_offset + 16 * i);
}

// d in two columns of bytes.
void store_super(Bytes low, Bytes high, const UnitShape& shape, uint8_t* out) {
  store_vector(zip_low(low, high), out + shape.super_offset);
  store_vector(zip_high(low, high), out + shape.super_offset + 16);
}

// d and dmin of super-blocks whose scales are bytes.
template <typename Block>
void pack_super(const Rows<Block>& rows, const UnitShape& shape, uint8_t* out) {
  for (int r = 0; r < kGroupRows; ++r) {
    uint8_t* to = out + shape.super_offset + 2 * r;
    std::memcpy(to, rows(r).d, 2);
    if constexpr (requires { rows(r).dmin; }) std::memcpy(to + 2 * kGroupRows, rows(r).dmin, 2);
  }
}

void pack_q4_k(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
               uint8_t* out) {
  const Rows<codec::BlockQ4_K> rows(source, row, unit, codec::kSuperBlock);
  pack_k4_scales(rows, shape, out);
  transpose_dwords(8, 1, out + shape.code_offset,
                   [&](int r, int v) { return load_vector<Words>(rows(r).qs + 16 * v); });
}

void pack_q5_k(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
               uint8_t* out) {
  const Rows<codec::BlockQ5_K> rows(source, row, unit, codec::kSuperBlock);
  pack_k4_scales(rows, shape, out);
  uint8_t* codes = out + shape.code_offset;
  transpose_dwords(2, 2, codes,
                   [&](int r, int v) { return load_vector<Words>(rows(r).qs + 16 * v); });
  transpose_dwords(2, 2, codes + kLine,
                   [&](int r, int v) { return load_vector<Words>(rows(r).qh + 16 * v); });
  transpose_dwords(6, 1, codes + 16 * kLine,
                   [&](int r, int v) { return load_vector<Words>(rows(r).qs + 32 + 16 * v); });
}

void pack_q6_k(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
               uint8_t* out) {
  const Rows<codec::BlockQ6_K> rows(source, row, unit, codec::kSuperBlock);
  pack_super(rows, shape, out);
  Bytes columns[16];
  transpose_bytes<16>(reinterpret_cast<const uint8_t*>(rows.row[0]->scales), rows.stride, columns);
  for (int i = 0; i < 16; ++i) store_vector(columns[i], out + shape.scale_offset + 16 * i);
  for (int half = 0; half < 2; ++half) {
    uint8_t* codes = out + shape.code_offset + 24 * kLine * half;
    const auto low = [&](int r, int v) {
      return load_vector<Words>(rows(r).ql + 64 * half + 16 * v);
    };
    // A byte of theirs has granules t and t + 2, one of ours t and t + 1.
    transpose_dwords(2, 2, codes, [&](int r, int v) { return join_low(low(r, v), low(r, v + 2)); });
    transpose_dwords(2, 2, codes + kLine, [&](int r, int v) {
      return load_vector<Words>(rows(r).qh + 32 * half + 16 * v);
    });
    transpose_dwords(2, 1, codes + 16 * kLine,
                     [&](int r, int v) { return join_high(low(r, v), low(r, v + 2)); });
  }
}

// Blocks of 32 in the order of put_nibbles(split_halves(qs)): qs(row, block) gives their 16 bytes.
template <typename Codes>
void pack_halves(uint8_t* codes, const Codes& qs) {
  transpose_pairs(4, codes,
                  [&](int r, int p) { return join_both(qs(r, 2 * p), qs(r, 2 * p + 1)); });
}

// The f16 scales in front of blocks of 32, and minima.
template <typename Block>
void pack_block_scales(const Rows<Block>& rows, const UnitShape& shape, uint8_t* out) {
  for (int s = 0; s < 8; ++s) {
    for (int r = 0; r < kGroupRows; ++r) {
      const Block& block = rows(r, s);
      const int at = 2 * (kGroupRows * s + r);
      if constexpr (requires { block.e; }) {
        out[shape.scale_offset + static_cast<uint32_t>(at / 2)] = block.e;
      } else {
        std::memcpy(out + shape.scale_offset + at, block.d, 2);
      }
      if constexpr (requires { block.m; }) std::memcpy(out + shape.min_offset + at, block.m, 2);
    }
  }
}

// Q4_0, Q4_1, IQ4_NL and MXFP4.
template <typename Block>
void pack_nibble_blocks(const EncodedMatrix& source, const UnitShape& shape, int64_t row,
                        int64_t unit, uint8_t* out) {
  const Rows<Block> rows(source, row, unit, codec::kLegacyBlock);
  pack_block_scales(rows, shape, out);
  pack_halves(out + shape.code_offset,
              [&](int r, int s) { return load_vector<Words>(rows(r, s).qs); });
}

void pack_iq4_xs(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
                 uint8_t* out) {
  const Rows<codec::BlockIQ4_XS> rows(source, row, unit, codec::kSuperBlock);
  // d, two bytes with two high bits of each scale, four with their low ones.
  Bytes columns[16];
  transpose_bytes<8>(rows.row[0]->d, rows.stride, columns);
  store_super(columns[0], columns[1], shape, out);
  for (int s = 0; s < 8; ++s) {
    const Bytes low = s % 2 == 0 ? columns[4 + s / 2] & 15 : columns[4 + s / 2] >> 4;
    const Bytes high = columns[2 + s / 4] >> (2 * (s % 4)) & 3;
    store_vector<Bytes>((low | high << 4) - 32, out + shape.scale_offset + kGroupRows * s);
  }
  pack_halves(out + shape.code_offset,
              [&](int r, int s) { return load_vector<Words>(rows(r).qs + 16 * s); });
}

void pack_q8_0(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
               uint8_t* out) {
  const Rows<codec::BlockQ8_0> rows(source, row, unit, codec::kLegacyBlock);
  pack_block_scales(rows, shape, out);
  for (int s = 0; s < 8; ++s) {
    transpose_dwords(2, 2, out + shape.code_offset + granule_offset(s), [&](int r, int v) {
      return load_vector<Words>(reinterpret_cast<const uint8_t*>(rows(r, s).qs) + 16 * v);
    });
  }
}

// Q5_0 and Q5_1: codes a byte each, with their fifth bit.
template <typename Block, uint8_t kOffset>
void pack_five_bit_blocks(const EncodedMatrix& source, const UnitShape& shape, int64_t row,
                          int64_t unit, uint8_t* out) {
  using Longs = uint64_t __attribute__((vector_size(16)));
  const Rows<Block> rows(source, row, unit, codec::kLegacyBlock);
  pack_block_scales(rows, shape, out);
  for (int s = 0; s < 8; ++s) {
    transpose_dwords(2, 2, out + shape.code_offset + granule_offset(s), [&](int r, int v) {
      const Block& block = rows(r, s);
      const auto nibbles = load_vector<Words>(block.qs);
      const auto low = (Bytes)((v == 0 ? nibbles : nibbles >> 4) & 0x0f0f0f0fu);
      // A bit for each byte of the vector, to the byte it belongs to.
      constexpr uint64_t kEach = 0x0101010101010101, kOwn = 0x8040201008040201;
      const Longs bits = {block.qh[2 * v] * kEach & kOwn, block.qh[2 * v + 1] * kEach & kOwn};
      const auto fifth = (Bytes)((Bytes)bits != 0) & 16;
      return (Words)((low | fifth) - kOffset);
    });
  }
}

// In each byte: two bits of a code in its low and in its high nibble, and the third ones.
constexpr uint32_t kLowPair = 0x03030303, kHighPair = 0x30303030;
constexpr uint32_t kBit2 = 0x04040404, kBit6 = 0x40404040;

// Codes of Q2_K: two bits for each column of four granules a byte. Of granules 2p and 2p + 1,
// dwords 4v .. 4v + 3.
Words join_pairs(const codec::BlockQ2_K& block, int p, int v) {
  const auto pairs = load_vector<Words>(block.qs + 32 * (p / 2) + 16 * v) >> (4 * (p % 2));
  return (pairs & kLowPair) | (pairs << 2 & kHighPair);
}

void pack_q2_k(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
               uint8_t* out) {
  const Rows<codec::BlockQ2_K> rows(source, row, unit, codec::kSuperBlock);
  pack_super(rows, shape, out);
  Bytes columns[16];
  transpose_bytes<16>(rows.row[0]->scales, rows.stride, columns);
  for (int i = 0; i < 16; ++i) {
    store_vector<Bytes>(columns[i] & 15, out + shape.scale_offset + 16 * i);
    store_vector<Bytes>(columns[i] >> 4, out + shape.min_offset + 16 * i);
  }
  transpose_dwords(8, 1, out + shape.code_offset,
                   [&](int r, int v) { return join_pairs(rows(r), v / 2, v % 2); });
}

void pack_q3_k(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
               uint8_t* out) {
  const Rows<codec::BlockQ3_K> rows(source, row, unit, codec::kSuperBlock);
  // Eight bytes with the low bits of two scales each, four with two high bits of four, d.
  Bytes columns[16];
  transpose_bytes<14>(rows.row[0]->scales, rows.stride, columns);
  store_super(columns[12], columns[13], shape, out);
  for (int s = 0; s < 16; ++s) {
    const Bytes low = s < 8 ? columns[s] & 15 : columns[s - 8] >> 4;
    const Bytes high = columns[8 + s % 4] >> (2 * (s / 4)) & 3;
    store_vector<Bytes>((low | high << 4) - 32, out + shape.scale_offset + kGroupRows * s);
  }
  // Bits are moved in lines that are transposed already: there are 24 of these and 32 of ours.
  alignas(kLine) uint8_t pairs[16 * kLine], thirds[8 * kLine];
  transpose_dwords(4, 1, pairs,
                   [&](int r, int v) { return load_vector<Words>(rows(r).qs + 16 * v); });
  transpose_dwords(2, 1, thirds,
                   [&](int r, int v) { return load_vector<Words>(rows(r).hmask + 16 * v); });
  uint8_t* codes = out + shape.code_offset;
  for (int at = 0; at < 8 * kLine; at += 16) {
    const auto third = load_vector<Words>(thirds + at);
    // Bits 2p and 2p + 1 of the mask are granules 2p and 2p + 1, to bits 2 and 6.
    const Words bits[4] = {
        (third << 2 & kBit2) | (third << 5 & kBit6), (third & kBit2) | (third << 3 & kBit6),
        (third >> 2 & kBit2) | (third << 1 & kBit6), (third >> 4 & kBit2) | (third >> 1 & kBit6)};
    for (int half = 0; half < 2; ++half) {
      const auto pair = load_vector<Words>(pairs + 8 * kLine * half + at);
      store_vector((pair & kLowPair) | (pair << 2 & kHighPair) | bits[2 * half],
                   codes + 16 * kLine * half + at);
      store_vector((pair >> 4 & kLowPair) | (pair >> 2 & kHighPair) | bits[2 * half + 1],
                   codes + 16 * kLine * half + 8 * kLine + at);
    }
  }
}

void pack_nvfp4(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
                uint8_t* out) {
  const Rows<codec::BlockGgmlNvfp4> rows(source, row, unit, 64);
  for (int s = 0; s < 16; ++s) {
    for (int r = 0; r < kGroupRows; ++r) {
      // As ggml's decoder: no sign, and the NaN code counts as zero.
      const auto scale = static_cast<uint8_t>(rows(r, s / 4).d[s % 4] & 0x7f);
      out[shape.scale_offset + static_cast<uint32_t>(kGroupRows * s + r)] =
          scale == 0x7f ? uint8_t{0} : scale;
    }
  }
  transpose_pairs(4, out + shape.code_offset, [&](int r, int p) -> TwoWords {
    // Sixteen columns are eight bytes, the first eight low: dwords in the order 0, 1, 4, 5.
    const uint8_t* codes = rows(r, p).qs;
    const auto [low, high] = join_both(load_vector<Words>(codes), load_vector<Words>(codes + 16));
    return {__builtin_shufflevector(low, high, 0, 1, 4, 5),
            __builtin_shufflevector(low, high, 2, 3, 6, 7)};
  });
}

}  // namespace

UnitPacker unit_packer_ggml(const EncodedMatrix& source) {
  switch (source.format) {
    case Format::kQ4_K:
      return pack_q4_k;
    case Format::kQ5_K:
      return pack_q5_k;
    case Format::kQ6_K:
      return pack_q6_k;
    case Format::kIQ4_XS:
      return pack_iq4_xs;
    case Format::kIQ4_NL:
      return pack_nibble_blocks<codec::BlockIQ4_NL>;
    case Format::kQ4_0:
      return pack_nibble_blocks<codec::BlockQ4_0>;
    case Format::kQ4_1:
      return pack_nibble_blocks<codec::BlockQ4_1>;
    case Format::kGgmlMxfp4:
      return pack_nibble_blocks<codec::BlockGgmlMxfp4>;
    case Format::kQ8_0:
      return pack_q8_0;
    case Format::kQ5_0:
      return pack_five_bit_blocks<codec::BlockQ5_0, 16>;
    case Format::kQ5_1:
      return pack_five_bit_blocks<codec::BlockQ5_1, 0>;
    case Format::kQ2_K:
      return pack_q2_k;
    case Format::kQ3_K:
      return pack_q3_k;
    case Format::kGgmlNvfp4:
      return pack_nvfp4;
    default:
      return nullptr;
  }
}

}  // namespace sluice::cpu
