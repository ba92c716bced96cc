// How ggml's formats are packed (spec/formats-gguf.md 4). Exact: each packed form decodes to the
// same value as its block. Q4_K, Q5_K, Q6_K, Q8_0, Q4_0, Q4_1, IQ4_NL, MXFP4 and NVFP4 take the
// bytes they have in the file; IQ4_XS 3 % more; Q3_K 4.6, Q2_K 5.1, Q5_0 8.5 and Q5_1 9 bits a
// weight, because these are rare and a form of their own would be one more kernel each.
#include <algorithm>
#include <cstring>

#include "backend/cpu/pack/row_unit.h"
#include "base/check.h"
#include "codec/ggml_fp4.h"
#include "codec/ggml_iq4.h"
#include "codec/ggml_k.h"
#include "codec/ggml_legacy.h"
#include "codec/number_formats.h"

namespace sluice::cpu {
namespace {

// Blocks of one row that fall into a unit.
template <typename Block>
struct BlockRange {
  const Block* first;
  int count;
};

template <typename Block>
BlockRange<Block> blocks_of(const EncodedMatrix& source, int64_t row, int64_t unit,
                            int block_columns) {
  const int64_t per_row = source.columns / block_columns,
                per_unit = kIntegerColumns / block_columns;
  const auto* blocks = reinterpret_cast<const Block*>(source.codes.bytes.data());
  return {blocks + row * per_row + unit * per_unit,
          static_cast<int>(std::min(per_unit, per_row - unit * per_unit))};
}

template <typename Block>
const Block& super_block(const EncodedMatrix& source, int64_t row, int64_t unit) {
  return *blocks_of<Block>(source, row, unit, codec::kSuperBlock).first;
}

// Where the nibbles of granule g go: the low or the high half of 32 bytes.
void put_nibbles(uint8_t* codes, int granule, const uint8_t* values) {
  uint8_t* bytes = codes + kGranule * (granule / 2);
  const int shift = 4 * (granule % 2);
  for (int i = 0; i < kGranule; ++i) bytes[i] = static_cast<uint8_t>(bytes[i] | values[i] << shift);
}

// The order of ggml's blocks of 32: element j low, element j + 16 high.
void split_halves(const uint8_t* qs, uint8_t* values) {
  for (int j = 0; j < 16; ++j) {
    values[j] = qs[j] & 15;
    values[j + 16] = static_cast<uint8_t>(qs[j] >> 4);
  }
}

void read_q4_k(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
               RowUnit& out) {
  const auto& block = super_block<codec::BlockQ4_K>(source, row, unit);
  std::memcpy(out.super, block.d, 2);
  std::memcpy(out.super + 2, block.dmin, 2);
  std::memcpy(out.scales, block.scales, 12);
  std::memcpy(out.codes, block.qs, 128);  // their order is ours
}

void read_q5_k(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
               RowUnit& out) {
  const auto& block = super_block<codec::BlockQ5_K>(source, row, unit);
  std::memcpy(out.super, block.d, 2);
  std::memcpy(out.super + 2, block.dmin, 2);
  std::memcpy(out.scales, block.scales, 12);
  for (int j = 0; j < 8; ++j) {
    std::memcpy(out.codes + 8 * j, block.qs + 4 * j, 4);
    std::memcpy(out.codes + 8 * j + 4, block.qh + 4 * j, 4);
  }
  std::memcpy(out.codes + 64, block.qs + 32, 96);
}

void read_q6_k(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
               RowUnit& out) {
  const auto& block = super_block<codec::BlockQ6_K>(source, row, unit);
  std::memcpy(out.super, block.d, 2);
  std::memcpy(out.scales, block.scales, 16);
  for (int half = 0; half < 2; ++half) {
    const uint8_t* low = block.ql + 64 * half;
    // A byte of theirs has granules t and t + 2, one of ours t and t + 1: eight bytes at a time,
    // because without wider instructions the compiler takes them apart one by one.
    uint8_t first[kGranule], second[kGranule];
    for (int i = 0; i < kGranule; i += 8) {
      constexpr uint64_t kLow = 0x0f0f0f0f0f0f0f0f;
      uint64_t a, b;
      std::memcpy(&a, low + i, 8);
      std::memcpy(&b, low + kGranule + i, 8);
      const uint64_t joined_low = (a & kLow) | (b & kLow) << 4;
      const uint64_t joined_high = (a >> 4 & kLow) | (b & ~kLow);
      std::memcpy(first + i, &joined_low, 8);
      std::memcpy(second + i, &joined_high, 8);
    }
    uint8_t* codes = out.codes + 96 * half;
    for (int j = 0; j < 8; ++j) {
      std::memcpy(codes + 8 * j, first + 4 * j, 4);
      std::memcpy(codes + 8 * j + 4, block.qh + 32 * half + 4 * j, 4);
    }
    std::memcpy(codes + 64, second, kGranule);
  }
}

void read_q2_k(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
               RowUnit& out) {
  const auto& block = super_block<codec::BlockQ2_K>(source, row, unit);
  std::memcpy(out.super, block.d, 2);
  std::memcpy(out.super + 2, block.dmin, 2);
  for (int s = 0; s < 16; ++s) {
    out.scales[s] = block.scales[s] & 15;
    out.mins[s] = static_cast<uint8_t>(block.scales[s] >> 4);
  }
  for (int g = 0; g < 8; ++g) {
    uint8_t values[kGranule];
    for (int i = 0; i < kGranule; ++i) {
      values[i] = static_cast<uint8_t>(block.qs[32 * (g / 4) + i] >> (2 * (g % 4)) & 3);
    }
    put_nibbles(out.codes, g, values);
  }
}

void read_q3_k(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
               RowUnit& out) {
  const auto& block = super_block<codec::BlockQ3_K>(source, row, unit);
  std::memcpy(out.super, block.d, 2);
  uint8_t scales[16];
  codec::unpack_q3_k_scales(block.scales, scales);
  for (int s = 0; s < 16; ++s) out.scales[s] = static_cast<uint8_t>(scales[s] - 32);
  for (int g = 0; g < 8; ++g) {
    uint8_t values[kGranule];
    for (int i = 0; i < kGranule; ++i) {
      const int low = block.qs[32 * (g / 4) + i] >> (2 * (g % 4)) & 3;
      values[i] = static_cast<uint8_t>(low | (block.hmask[i] >> g & 1) << 2);
    }
    put_nibbles(out.codes, g, values);
  }
}

void read_iq4_xs(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
                 RowUnit& out) {
  const auto& block = super_block<codec::BlockIQ4_XS>(source, row, unit);
  std::memcpy(out.super, block.d, 2);
  uint8_t scales[8];
  codec::unpack_iq4_xs_scales(block, scales);
  for (int s = 0; s < 8; ++s) {
    out.scales[s] = static_cast<uint8_t>(scales[s] - 32);
    uint8_t values[kGranule];
    split_halves(block.qs + 16 * s, values);
    put_nibbles(out.codes, s, values);
  }
}

void read_q8_0(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
               RowUnit& out) {
  const auto blocks = blocks_of<codec::BlockQ8_0>(source, row, unit, codec::kLegacyBlock);
  uint8_t codes[kIntegerColumns] = {};
  for (int s = 0; s < blocks.count; ++s) {
    std::memcpy(out.scales + 2 * s, blocks.first[s].d, 2);
    std::memcpy(codes + kGranule * s, blocks.first[s].qs, kGranule);
  }
  interleave_granules(codes, out.codes);
}

// Q4_0, Q4_1 and IQ4_NL.
template <typename Block>
void read_nibble_blocks(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
                        RowUnit& out) {
  const auto blocks = blocks_of<Block>(source, row, unit, codec::kLegacyBlock);
  for (int s = 0; s < blocks.count; ++s) {
    const Block& block = blocks.first[s];
    std::memcpy(out.scales + 2 * s, block.d, 2);
    if constexpr (requires { block.m; }) std::memcpy(out.mins + 2 * s, block.m, 2);
    uint8_t values[kGranule];
    split_halves(block.qs, values);
    put_nibbles(out.codes, s, values);
  }
}

// Q5_0 and Q5_1.
template <typename Block, int kOffset>
void read_five_bit_blocks(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
                          RowUnit& out) {
  const auto blocks = blocks_of<Block>(source, row, unit, codec::kLegacyBlock);
  uint8_t codes[kIntegerColumns] = {};
  for (int s = 0; s < blocks.count; ++s) {
    const Block& block = blocks.first[s];
    std::memcpy(out.scales + 2 * s, block.d, 2);
    if constexpr (requires { block.m; }) std::memcpy(out.mins + 2 * s, block.m, 2);
    uint8_t values[kGranule];
    split_halves(block.qs, values);
    for (int i = 0; i < kGranule; ++i) {
      const int fifth = block.qh[i / 8] >> (i % 8) & 1;
      codes[kGranule * s + i] = static_cast<uint8_t>(values[i] + 16 * fifth - kOffset);
    }
  }
  interleave_granules(codes, out.codes);
}

void read_mxfp4(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
                RowUnit& out) {
  const auto blocks = blocks_of<codec::BlockGgmlMxfp4>(source, row, unit, 32);
  for (int s = 0; s < blocks.count; ++s) {
    out.scales[s] = blocks.first[s].e;
    uint8_t values[kGranule];
    split_halves(blocks.first[s].qs, values);
    put_nibbles(out.codes, s, values);
  }
}

void read_nvfp4(const EncodedMatrix& source, const UnitShape&, int64_t row, int64_t unit,
                RowUnit& out) {
  const auto blocks = blocks_of<codec::BlockGgmlNvfp4>(source, row, unit, 64);
  for (int b = 0; b < blocks.count; ++b) {
    const codec::BlockGgmlNvfp4& block = blocks.first[b];
    uint8_t values[64];
    for (int s = 0; s < 4; ++s) {
      // As ggml's decoder: no sign, and the NaN code counts as zero.
      const uint8_t scale = block.d[s] & 0x7f;
      out.scales[4 * b + s] = scale == 0x7f ? 0 : scale;
      for (int j = 0; j < 8; ++j) {
        values[16 * s + j] = block.qs[8 * s + j] & 15;
        values[16 * s + 8 + j] = static_cast<uint8_t>(block.qs[8 * s + j] >> 4);
      }
    }
    put_nibbles(out.codes, 2 * b, values);
    put_nibbles(out.codes, 2 * b + 1, values + kGranule);
  }
}

PackPlan plan(CodeKind codes, ScaleKind scales, int groups, MinKind mins, RowReader read) {
  PackPlan out;
  out.shape.codes = codes;
  out.shape.scales = scales;
  out.shape.scale_groups = static_cast<uint8_t>(groups);
  out.shape.mins = mins;
  out.read = read;
  return out;
}

template <typename Levels>
PackPlan with_table(PackPlan plan, const Levels& levels, float table_scale = 1.0f) {
  std::copy(levels.begin(), levels.end(), plan.table);
  plan.table_scale = table_scale;
  return plan;
}

// Codes q that mean q - offset.
PackPlan with_offset(PackPlan plan, int offset) {
  for (int q = 0; q < 16; ++q) plan.table[q] = static_cast<int8_t>(q - offset);
  return plan;
}

}  // namespace

PackPlan plan_ggml(const EncodedMatrix& source) {
  using enum CodeKind;
  const auto none = MinKind::kNone;
  switch (source.format) {
    case Format::kQ4_K:
      return plan(kNibble, ScaleKind::kK4, 8, MinKind::kK4, read_q4_k);
    case Format::kQ5_K:
      return plan(kFive, ScaleKind::kK4, 8, MinKind::kK4, read_q5_k);
    case Format::kQ6_K:
      return plan(kSix, ScaleKind::kSuper, 16, none, read_q6_k);
    case Format::kQ2_K:
      return with_offset(plan(kNibbleTable, ScaleKind::kSuper, 16, MinKind::kSuper, read_q2_k), 0);
    case Format::kQ3_K:
      return with_offset(plan(kNibbleTable, ScaleKind::kSuper, 16, none, read_q3_k), 4);
    case Format::kIQ4_XS:
      return with_table(plan(kNibbleTable, ScaleKind::kSuper, 8, none, read_iq4_xs),
                        codec::kIq4Levels);
    case Format::kIQ4_NL:
      return with_table(
          plan(kNibbleTable, ScaleKind::kF16, 8, none, read_nibble_blocks<codec::BlockIQ4_NL>),
          codec::kIq4Levels);
    case Format::kQ4_0:
      return with_offset(
          plan(kNibbleTable, ScaleKind::kF16, 8, none, read_nibble_blocks<codec::BlockQ4_0>), 8);
    case Format::kQ4_1:
      return with_offset(plan(kNibbleTable, ScaleKind::kF16, 8, MinKind::kF16,
                              read_nibble_blocks<codec::BlockQ4_1>),
                         0);
    case Format::kQ5_0:
      return plan(kByte, ScaleKind::kF16, 8, none, read_five_bit_blocks<codec::BlockQ5_0, 16>);
    case Format::kQ5_1:
      return plan(kByte, ScaleKind::kF16, 8, MinKind::kF16,
                  read_five_bit_blocks<codec::BlockQ5_1, 0>);
    case Format::kQ8_0:
      return plan(kByte, ScaleKind::kF16, 8, none, read_q8_0);
    case Format::kGgmlMxfp4:
      return with_table(plan(kNibbleTable, ScaleKind::kE8M0, 8, none, read_mxfp4),
                        codec::kE2m1Doubled, 0.5f);
    case Format::kGgmlNvfp4:
      return with_table(plan(kNibbleTable, ScaleKind::kE4M3, 16, none, read_nvfp4),
                        codec::kE2m1Doubled, 0.5f);
    default:
      SLUICE_CHECK(false, "{} is not a ggml block format", format_name(source.format));
  }
}

}  // namespace sluice::cpu
