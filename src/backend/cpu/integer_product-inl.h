// Products of integer codes with integer activations: the arithmetic, written once over `Lanes`.
//
// Included by exactly one .cc file per instruction set, after that set's lanes-inl.h. Everything is
// in an unnamed namespace, so that each object keeps its own copies (style.md 3.4). Highway does
// the same with macros; here a struct of 16 lanes suffices.
//
// The arithmetic of a row, the same for any number of rows and threads. Per granule (or half
// granule, where a scale covers 16 columns) the exact integer sum I of codes times activations;
// then in ascending order
//   wide:  u += float(I) * scale - float(sum of activations) * min;  per unit  y += u * activation
//   scale digit: y += (float(I) * activation scale) * scale - (...) * min
// with fused multiply-adds where the set has them.
#pragma once

#include "backend/cpu/product.h"

namespace sluice::cpu {
namespace {

// Rows that the blocked path keeps in accumulators between units: 128 x 16 floats are 8 KiB of
// stack.
constexpr int64_t kBlockRows = 128;

struct alignas(64) ScaleLines {
  float scale[16][kGroupRows];
  float min[16][kGroupRows];
};

// One unit's codes, one byte each, in the order of CodeKind::kByte.
struct alignas(64) CodePanel {
  uint8_t lines[64][kLine];
};

SLUICE_INLINE void decode_k4_scales(const UnitShape& shape, const uint8_t* unit,
                                    ScaleLines& lines) {
  const Floats d = Lanes::from_f16(unit + shape.super_offset);
  const Floats dmin = Lanes::from_f16(unit + shape.super_offset + 32);
  const uint8_t* packed = unit + shape.scale_offset;
  // Bytes 0-3, 4-7 and 8-11 of all rows: scale s is in the low six bits of byte s, min s in those
  // of byte s + 4; the upper four of each share byte s + 4 and the top bits of bytes s - 4 and s.
  const Codes first = Lanes::load_line(packed), second = Lanes::load_line(packed + 64),
              third = Lanes::load_line(packed + 128);
  alignas(64) uint8_t bytes[4][64];
  Lanes::store_line(bytes[0], Lanes::and_mask(first, 0x3f));
  Lanes::store_line(bytes[1],
                    Lanes::or_bits(Lanes::and_mask(third, 0x0f),
                                   Lanes::and_mask(Lanes::template shift_right<2>(first), 0x30)));
  Lanes::store_line(bytes[2], Lanes::and_mask(second, 0x3f));
  Lanes::store_line(bytes[3],
                    Lanes::or_bits(Lanes::and_mask(Lanes::template shift_right<4>(third), 0x0f),
                                   Lanes::and_mask(Lanes::template shift_right<2>(second), 0x30)));
  for (int s = 0; s < 8; ++s) {
    Lanes::store(lines.scale[s], Lanes::multiply(Lanes::from_u8(bytes[0] + 16 * s), d));
    Lanes::store(lines.min[s], Lanes::multiply(Lanes::from_u8(bytes[2] + 16 * s), dmin));
  }
}

SLUICE_INLINE void decode_scales(const UnitShape& shape, const uint8_t* unit, ScaleLines& lines) {
  if (shape.scales == ScaleKind::kK4) return decode_k4_scales(shape, unit, lines);
  const uint8_t* stored = unit + shape.scale_offset;
  const int groups = shape.scale_groups;
  switch (shape.scales) {
    case ScaleKind::kNone:
      Lanes::store(lines.scale[0], Lanes::broadcast(1.0f));
      break;
    case ScaleKind::kF16:
      for (int s = 0; s < groups; ++s)
        Lanes::store(lines.scale[s], Lanes::from_f16(stored + 32 * s));
      break;
    case ScaleKind::kBF16:
      for (int s = 0; s < groups; ++s)
        Lanes::store(lines.scale[s], Lanes::from_bf16(stored + 32 * s));
      break;
    case ScaleKind::kF32:
      for (int s = 0; s < groups; ++s)
        Lanes::store(lines.scale[s], Lanes::from_f32(stored + 64 * s));
      break;
    case ScaleKind::kE4M3:
      for (int s = 0; s < groups; ++s)
        Lanes::store(lines.scale[s], Lanes::from_ue4m3(stored + 16 * s));
      break;
    case ScaleKind::kE8M0:
      for (int s = 0; s < groups; ++s)
        Lanes::store(lines.scale[s], Lanes::from_e8m0(stored + 16 * s));
      break;
    case ScaleKind::kSuper: {
      const Floats d = Lanes::from_f16(unit + shape.super_offset);
      for (int s = 0; s < groups; ++s) {
        Lanes::store(lines.scale[s], Lanes::multiply(Lanes::from_i8(stored + 16 * s), d));
      }
      break;
    }
    case ScaleKind::kK4:
      break;
  }
  const uint8_t* mins = unit + shape.min_offset;
  switch (shape.mins) {
    case MinKind::kF16:
      for (int s = 0; s < groups; ++s) {
        Lanes::store(lines.min[s],
                     Lanes::multiply(Lanes::from_f16(mins + 32 * s), Lanes::broadcast(-1.0f)));
      }
      break;
    case MinKind::kZeroPoint:
      for (int s = 0; s < groups; ++s) {
        Lanes::store(lines.min[s],
                     Lanes::multiply(Lanes::from_i8(mins + 16 * s), Lanes::load(lines.scale[s])));
      }
      break;
    case MinKind::kSuper: {
      const Floats dmin = Lanes::from_f16(unit + shape.super_offset + 32);
      for (int s = 0; s < groups; ++s) {
        Lanes::store(lines.min[s], Lanes::multiply(Lanes::from_u8(mins + 16 * s), dmin));
      }
      break;
    }
    case MinKind::kNone:
    case MinKind::kK4:
      break;
  }
}

// Where a unit's codes are read from while multiplying: packed kinds as in CodeKind, or a panel of
// bytes that are ready for the dot product.
enum class Source : uint8_t {
  kNibble,
  kNibbleTable,
  kFive,
  kSix,
  kByte,
  kPlainPanel,
  kSixPanel,
  kSignedPanel
};

// Power of two by which codes of this source are stored too high, as a shift; -1 for none.
template <Source kSource>
constexpr int offset_shift() {
  if (kSource == Source::kSix || kSource == Source::kSixPanel) return 5;
  if (kSource == Source::kNibble || kSource == Source::kFive || kSource == Source::kPlainPanel)
    return -1;
  return Lanes::kSignedOffsetShift;
}

// Kinds whose values fill a signed byte take the product for signed codes.
template <Source kSource>
constexpr bool is_signed() {
  return kSource == Source::kNibbleTable || kSource == Source::kByte ||
         kSource == Source::kSignedPanel;
}

// Line j of granules 2 pair and 2 pair + 1. Lines lie in the order in which they are read here
// (product.h).
template <Source kSource>
SLUICE_INLINE void decode_lines(const uint8_t* codes, const Codes table, int pair, int j,
                                Codes& even, Codes& odd) {
  constexpr bool kBytes = kSource == Source::kByte || kSource == Source::kPlainPanel ||
                          kSource == Source::kSixPanel || kSource == Source::kSignedPanel;
  if constexpr (kBytes) {
    const uint8_t* lines = codes + kLine * (16 * pair + 2 * j);
    if constexpr (kSource == Source::kByte) {
      even = Lanes::signed_line(lines);
      odd = Lanes::signed_line(lines + kLine);
    } else {
      even = Lanes::load_line(lines);
      odd = Lanes::load_line(lines + kLine);
    }
    return;
  }
  int line = 8 * pair + j;
  if constexpr (kSource == Source::kFive) line = pair == 0 ? 2 * j : line + 8;
  if constexpr (kSource == Source::kSix) line = 24 * (pair / 2) + (pair % 2 == 0 ? 2 * j : 16 + j);
  const Codes both = Lanes::load_line(codes + kLine * line);
  even = Lanes::and_mask(both, 0x0f);
  odd = Lanes::and_mask(Lanes::template shift_right<4>(both), 0x0f);
  if constexpr (kSource == Source::kNibbleTable) {
    even = Lanes::lookup(table, even);
    odd = Lanes::lookup(table, odd);
  } else if constexpr (kSource == Source::kFive) {
    const Codes high = Lanes::load_line(codes + kLine * (2 * j + 1));
    const Codes bits = Lanes::shift_right_by(high, 2 * pair);
    even = Lanes::or_bits(even, Lanes::and_mask(Lanes::template shift_left<4>(bits), 0x10));
    odd = Lanes::or_bits(odd, Lanes::and_mask(Lanes::template shift_left<3>(bits), 0x10));
  } else if constexpr (kSource == Source::kSix) {
    const Codes high = Lanes::load_line(codes + kLine * (24 * (pair / 2) + 2 * j + 1));
    const Codes bits = Lanes::shift_right_by(high, 4 * (pair % 2));
    even = Lanes::or_bits(even, Lanes::and_mask(Lanes::template shift_left<4>(bits), 0x30));
    odd = Lanes::or_bits(odd, Lanes::and_mask(Lanes::template shift_left<2>(bits), 0x30));
  }
}

// kRows activation rows times one unit. kHalf: a scale covers 16 columns instead of 32 or more.
template <Source kSource, bool kHalf, bool kMin, bool kDigit, int kRows>
SLUICE_INLINE void multiply_unit(const uint8_t* codes, const Codes table, const ScaleLines& lines,
                                 int scale_shift, const uint8_t* activations,
                                 Floats (&totals)[kRows]) {
  constexpr int kDigits = kDigit ? 1 : 2;
  constexpr int64_t kRowBytes = kDigit ? sizeof(DigitUnit) : sizeof(WideUnit);
  constexpr int kSegments = kHalf ? 2 : 1;
  constexpr int kSegmentLines = 8 / kSegments;
  constexpr int kOffset = offset_shift<kSource>();
  Floats unit_sums[kRows];
  for (int row = 0; row < kRows; ++row) unit_sums[row] = Lanes::broadcast(0.0f);

  for (int pair = 0; pair < 4; ++pair) {
    Ints sums[2][kSegments][kRows][kDigits];
    SLUICE_UNROLL
    for (int segment = 0; segment < kSegments; ++segment) {
      SLUICE_UNROLL
      for (int row = 0; row < kRows; ++row) {
        SLUICE_UNROLL
        for (int digit = 0; digit < kDigits; ++digit) {
          sums[0][segment][row][digit] = Lanes::zero();
          sums[1][segment][row][digit] = Lanes::zero();
        }
      }
      SLUICE_UNROLL
      for (int line = 0; line < kSegmentLines; ++line) {
        const int j = segment * kSegmentLines + line;
        Codes even, odd;
        decode_lines<kSource>(codes, table, pair, j, even, odd);
        SLUICE_UNROLL
        for (int row = 0; row < kRows; ++row) {
          SLUICE_UNROLL
          for (int digit = 0; digit < kDigits; ++digit) {
            const uint8_t* a =
                activations + row * kRowBytes + digit * kIntegerColumns + 64 * pair + 4 * j;
            Ints& first = sums[0][segment][row][digit];
            Ints& second = sums[1][segment][row][digit];
            first = Lanes::template dot<is_signed<kSource>()>(first, even, a);
            second = Lanes::template dot<is_signed<kSource>()>(second, odd, a + kGranule);
          }
        }
      }
    }
    SLUICE_UNROLL
    for (int side = 0; side < 2; ++side) {
      const int granule = 2 * pair + side;
      SLUICE_UNROLL
      for (int segment = 0; segment < kSegments; ++segment) {
        const int index = kHalf ? 2 * granule + segment : granule >> scale_shift;
        const Floats scale = Lanes::load(lines.scale[index]);
        SLUICE_UNROLL
        for (int row = 0; row < kRows; ++row) {
          const uint8_t* a = activations + row * kRowBytes;
          const uint8_t* sum = a + kDigits * kIntegerColumns +
                               (kHalf ? 4 * (2 * granule + segment) : 64 + 4 * granule);
          Ints whole = sums[side][segment][row][0];
          if constexpr (!kDigit) whole = Lanes::join_digits(whole, sums[side][segment][row][1]);
          if constexpr (kOffset >= 0) {
            whole = Lanes::subtract(whole, Lanes::template shifted_broadcast<kOffset>(sum));
          }
          if constexpr (kDigit) {
            const Floats digit_scale =
                Lanes::broadcast_load(a + offsetof(DigitUnit, scale) + 4 * granule);
            totals[row] = Lanes::fma(Lanes::multiply(Lanes::to_float(whole), digit_scale), scale,
                                     totals[row]);
            if constexpr (kMin) {
              const Floats sum_value = Lanes::multiply(Lanes::broadcast_to_float(sum), digit_scale);
              totals[row] = Lanes::fnma(sum_value, Lanes::load(lines.min[index]), totals[row]);
            }
          } else {
            unit_sums[row] = Lanes::fma(Lanes::to_float(whole), scale, unit_sums[row]);
            if constexpr (kMin) {
              unit_sums[row] = Lanes::fnma(Lanes::broadcast_to_float(sum),
                                           Lanes::load(lines.min[index]), unit_sums[row]);
            }
          }
        }
      }
    }
  }
  if constexpr (!kDigit) {
    SLUICE_UNROLL
    for (int row = 0; row < kRows; ++row) {
      const uint8_t* scale = activations + row * kRowBytes + offsetof(WideUnit, scale);
      totals[row] = Lanes::fma(unit_sums[row], Lanes::broadcast_load(scale), totals[row]);
    }
  }
}

template <Source kSource>
void decode_panel(const UnitShape& shape, const uint8_t* unit, const Codes table,
                  CodePanel& panel) {
  for (int pair = 0; pair < 4; ++pair) {
    SLUICE_UNROLL
    for (int j = 0; j < 8; ++j) {
      Codes even, odd;
      decode_lines<kSource>(unit + shape.code_offset, table, pair, j, even, odd);
      Lanes::store_line(panel.lines[16 * pair + 2 * j], even);
      Lanes::store_line(panel.lines[16 * pair + 2 * j + 1], odd);
    }
  }
}

int scale_shift_of(const UnitShape& shape) {
  int shift = 0;
  for (int groups = shape.scale_groups; groups < 8; groups *= 2) ++shift;
  return shift;
}

void write_out(const ProductCall& call, int64_t group, int64_t row, Floats total) {
  const PackedView& weight = *call.weight;
  const Floats scaled =
      Lanes::multiply(Lanes::multiply(total, Lanes::load(weight.row_scales + group * kGroupRows)),
                      Lanes::broadcast(call.row_factors[row]));
  const int64_t first = group * kGroupRows;
  float* out = call.out + row * call.stride + first;
  if (weight.rows - first >= kGroupRows) return Lanes::store_unaligned(out, scaled);
  alignas(64) float values[kGroupRows];
  Lanes::store(values, scaled);
  for (int64_t lane = 0; lane < weight.rows - first; ++lane) out[lane] = values[lane];
}

// One or two rows: codes go from memory through registers into the product.
template <Source kSource, bool kHalf, bool kMin, bool kDigit, int kRows>
void multiply_direct(const ProductCall& call) {
  const PackedView& weight = *call.weight;
  const UnitShape& shape = weight.unit;
  const int scale_shift = scale_shift_of(shape);
  const Codes table = Lanes::load_table(weight.table);
  constexpr int64_t kRowBytes = kDigit ? sizeof(DigitUnit) : sizeof(WideUnit);
  alignas(64) ScaleLines lines;
  for (int64_t group = call.first_group; group < call.last_group; ++group) {
    const uint8_t* unit = weight.units + group * weight.units_per_group * shape.bytes;
    const auto* activations = static_cast<const uint8_t*>(call.activations);
    Floats totals[kRows];
    for (int row = 0; row < kRows; ++row) totals[row] = Lanes::broadcast(0.0f);
    for (int64_t u = 0; u < weight.units_per_group; ++u) {
      decode_scales(shape, unit, lines);
      multiply_unit<kSource, kHalf, kMin, kDigit, kRows>(unit + shape.code_offset, table, lines,
                                                         scale_shift, activations, totals);
      unit += shape.bytes;
      activations += kRows * kRowBytes;
    }
    for (int row = 0; row < kRows; ++row) write_out(call, group, row, totals[row]);
  }
}

template <Source kPanelSource, bool kHalf, bool kMin, bool kDigit, int kRows>
SLUICE_INLINE void multiply_panel_rows(const CodePanel& panel, const ScaleLines& lines,
                                       int scale_shift, const uint8_t* activations,
                                       float (*sums)[kGroupRows]) {
  Floats totals[kRows];
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) totals[row] = Lanes::load(sums[row]);
  multiply_unit<kPanelSource, kHalf, kMin, kDigit, kRows>(panel.lines[0], Codes{}, lines,
                                                          scale_shift, activations, totals);
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) Lanes::store(sums[row], totals[row]);
}

template <Source kPanelSource, bool kHalf, bool kMin, bool kDigit>
void multiply_panel(const CodePanel& panel, const ScaleLines& lines, int scale_shift,
                    const uint8_t* activations, int64_t rows, float (*sums)[kGroupRows]) {
  constexpr int kStep = Lanes::kPanelRows;
  constexpr int64_t kRowBytes = kDigit ? sizeof(DigitUnit) : sizeof(WideUnit);
  int64_t row = 0;
  for (; row + kStep <= rows; row += kStep) {
    multiply_panel_rows<kPanelSource, kHalf, kMin, kDigit, kStep>(
        panel, lines, scale_shift, activations + row * kRowBytes, sums + row);
  }
  for (; row < rows; ++row) {
    multiply_panel_rows<kPanelSource, kHalf, kMin, kDigit, 1>(
        panel, lines, scale_shift, activations + row * kRowBytes, sums + row);
  }
}

// Many rows: each unit is decoded once per kBlockRows rows into L1.
template <Source kSource, bool kHalf, bool kMin, bool kDigit>
void multiply_blocked(const ProductCall& call) {
  const PackedView& weight = *call.weight;
  const UnitShape& shape = weight.unit;
  const int scale_shift = scale_shift_of(shape);
  const Codes table = Lanes::load_table(weight.table);
  constexpr Source kPanelSource = kSource == Source::kSix ? Source::kSixPanel
                                  : is_signed<kSource>()  ? Source::kSignedPanel
                                                          : Source::kPlainPanel;
  constexpr int64_t kRowBytes = kDigit ? sizeof(DigitUnit) : sizeof(WideUnit);
  CodePanel panel;
  ScaleLines lines;
  alignas(64) float sums[kBlockRows][kGroupRows];
  for (int64_t first = 0; first < call.rows; first += kBlockRows) {
    const int64_t rows = call.rows - first < kBlockRows ? call.rows - first : kBlockRows;
    for (int64_t group = call.first_group; group < call.last_group; ++group) {
      const uint8_t* unit = weight.units + group * weight.units_per_group * shape.bytes;
      const uint8_t* activations =
          static_cast<const uint8_t*>(call.activations) + first * kRowBytes;
      for (int64_t row = 0; row < rows; ++row) Lanes::store(sums[row], Lanes::broadcast(0.0f));
      for (int64_t u = 0; u < weight.units_per_group; ++u) {
        decode_scales(shape, unit, lines);
        decode_panel<kSource>(shape, unit, table, panel);
        multiply_panel<kPanelSource, kHalf, kMin, kDigit>(panel, lines, scale_shift, activations,
                                                          rows, sums);
        unit += shape.bytes;
        activations += call.rows * kRowBytes;
      }
      for (int64_t row = 0; row < rows; ++row)
        write_out(call, group, first + row, Lanes::load(sums[row]));
    }
  }
}

template <Source kSource, bool kHalf, bool kMin, bool kDigit>
void multiply_any(const ProductCall& call) {
  if (call.rows == 1) return multiply_direct<kSource, kHalf, kMin, kDigit, 1>(call);
  if (call.rows == 2) return multiply_direct<kSource, kHalf, kMin, kDigit, 2>(call);
  if constexpr (Lanes::kDirectRows >= 4) {
    if (call.rows == 3) return multiply_direct<kSource, kHalf, kMin, kDigit, 3>(call);
    if (call.rows == 4) return multiply_direct<kSource, kHalf, kMin, kDigit, 4>(call);
  }
  multiply_blocked<kSource, kHalf, kMin, kDigit>(call);
}

template <Source kSource, bool kHalf, bool kMin>
void multiply_mode(const ProductCall& call) {
  if (call.digit) return multiply_any<kSource, kHalf, kMin, true>(call);
  multiply_any<kSource, kHalf, kMin, false>(call);
}

template <Source kSource>
void multiply_source(const ProductCall& call) {
  const bool half = call.weight->unit.scale_groups == 16;
  const bool min = call.weight->unit.mins != MinKind::kNone;
  if constexpr (kSource == Source::kNibble || kSource == Source::kFive) {
    multiply_mode<kSource, false, true>(call);  // always with minima per 32
  } else if constexpr (kSource == Source::kSix) {
    multiply_mode<kSource, true, false>(call);  // always scales per 16
  } else {
    if (half && min) return multiply_mode<kSource, true, true>(call);
    if (half) return multiply_mode<kSource, true, false>(call);
    if (min) return multiply_mode<kSource, false, true>(call);
    multiply_mode<kSource, false, false>(call);
  }
}

void run_integer_product(const ProductCall& call) {
  switch (call.weight->unit.codes) {
    case CodeKind::kNibble:
      return multiply_source<Source::kNibble>(call);
    case CodeKind::kNibbleTable:
      return multiply_source<Source::kNibbleTable>(call);
    case CodeKind::kFive:
      return multiply_source<Source::kFive>(call);
    case CodeKind::kSix:
      return multiply_source<Source::kSix>(call);
    case CodeKind::kByte:
      return multiply_source<Source::kByte>(call);
    default:
      return;
  }
}

}  // namespace
}  // namespace sluice::cpu
