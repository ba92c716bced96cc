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
  const Block* first;
  int64_t per_row;  // blocks

  Rows(const EncodedMatrix& source, int64_t row, int64_t unit, int columns)
      : first(reinterpret_cast<const Block*>(source.codes.bytes.data())),
        per_row(source.columns / columns) {
    first += row * per_row + unit * (kIntegerColumns / columns);
  }
  const Block& operator()(int row, int block = 0) const { return first[row * per_row + block]; }
  size_t stride() const { return static_cast<size_t>(per_row) * sizeof(Block); }
};

// d, dmin and the twelve bytes of scales, which Q4_K and Q5_K begin with.
template <typename Block>
void pack_k4_scales(const Rows<Block>& rows, const UnitShape& shape, uint8_t* out) {
  Bytes columns[16];
  transpose_bytes<16>(rows.first->d, rows.stride(), columns);
  for (int half = 0; half < 2; ++half) {
    const Bytes low = columns[2 * half], high = columns[2 * half + 1];
    store_vector(zip_low(low, high), out + shape.super_offset + 32 * half);
    store_vector(zip_high(low, high), out + shape.super_offset + 32 * half + 16);
  }
  for (int i = 0; i < 12; ++i) store_vector(columns[4 + i], out + shape.scale_offset + 16 * i);
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
  for (int r = 0; r < kGroupRows; ++r) {
    std::memcpy(out + shape.super_offset + 2 * r, rows(r).d, 2);
  }
  Bytes columns[16];
  transpose_bytes<16>(reinterpret_cast<const uint8_t*>(rows.first->scales), rows.stride(), columns);
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
  transpose_dwords(8, 1, codes, [&](int r, int v) {
    const Words a = qs(r, v & ~1), b = qs(r, v | 1);
    return v % 2 == 0 ? join_low(a, b) : join_high(a, b);
  });
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
  for (int r = 0; r < kGroupRows; ++r) {
    uint8_t scales[8];
    std::memcpy(out + shape.super_offset + 2 * r, rows(r).d, 2);
    codec::unpack_iq4_xs_scales(rows(r), scales);
    for (int s = 0; s < 8; ++s) {
      out[shape.scale_offset + static_cast<uint32_t>(kGroupRows * s + r)] =
          static_cast<uint8_t>(scales[s] - 32);
    }
  }
  pack_halves(out + shape.code_offset,
              [&](int r, int s) { return load_vector<Words>(rows(r).qs + 16 * s); });
}

void pack_q8_0(const EncodedMatrix& source, const UnitShape& shape, int64_t row, int64_t unit,
               uint8_t* out) {
  const Rows<codec::BlockQ8_0> rows(source, row, unit, codec::kLegacyBlock);
  pack_block_scales(rows, shape, out);
  for (int s = 0; s < 8; ++s) {
    uint8_t* codes = out + shape.code_offset + (16 * (s / 2) + s % 2) * kLine;
    transpose_dwords(2, 2, codes, [&](int r, int v) {
      return load_vector<Words>(reinterpret_cast<const uint8_t*>(rows(r, s).qs) + 16 * v);
    });
  }
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
    default:
      return nullptr;  // Q2_K, Q3_K, Q5_0, Q5_1, NVFP4
  }
}

}  // namespace sluice::cpu
