// What the units of integer codes hold, read through `Lanes`: scales, minima and codes. Inclusion
// and fencing as in integer_product-inl.h.
#pragma once

#include "backend/cpu/product.h"

namespace sluice::cpu {
namespace {

struct alignas(64) ScaleLines {
  float scale[16][kGroupRows];
  float min[16][kGroupRows];
  float super[kGroupRows];        // split scales: what each is times, 1 for none
  int32_t pairs[16][kGroupRows];  // split scales that are integers, each as two words, where read
};

template <bool kSplit, typename Set = Lanes>
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
  if constexpr (kSplit) Lanes::store(lines.super, d);
  for (int s = 0; s < 8; ++s) {
    if constexpr (kSplit && Lanes::kSums16) {
      Set::store_pairs(lines.pairs[s], bytes[0] + 16 * s);
    } else {
      const Floats scale = Lanes::from_u8(bytes[0] + 16 * s);
      Lanes::store(lines.scale[s], kSplit ? scale : Lanes::multiply(scale, d));
    }
    Lanes::store(lines.min[s], Lanes::multiply(Lanes::from_u8(bytes[2] + 16 * s), dmin));
  }
}

// kSplit: integer scales stay integers, apart from the float that they share.
template <bool kSplit, typename Set = Lanes>
SLUICE_INLINE void decode_scales(const UnitShape& shape, const uint8_t* unit, ScaleLines& lines) {
  if (shape.scales == ScaleKind::kK4) return decode_k4_scales<kSplit>(shape, unit, lines);
  const uint8_t* stored = unit + shape.scale_offset;
  const int groups = shape.scale_groups;
  if constexpr (kSplit) Lanes::store(lines.super, Lanes::broadcast(1.0f));
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
      if constexpr (kSplit) {
        Lanes::store(lines.super, d);
        for (int s = 0; s < groups; ++s) {
          Lanes::store(lines.scale[s], Lanes::from_i8(stored + 16 * s));
          if constexpr (Lanes::kSums16) Set::store_pairs(lines.pairs[s], stored + 16 * s);
        }
        break;
      }
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

// As decode_scales<true>() for a unit without minima, but its scales as integers of 15 bits where
// all of them are when divided by one power of two, which becomes what they share; returns whether.
// A sum times a scale is rounded once either way, so the bits of the product are the same, as long
// as its activations' scales are moderate (ProductCall) and those here too; where scales cover 16
// columns, two such products are added, and only as short scales as E4M3 make them exact.
template <bool kHalf, typename Set = Lanes>
SLUICE_INLINE bool decode_integer_scales(const UnitShape& shape, const uint8_t* unit,
                                         ScaleLines& lines) {
  const uint8_t* stored = unit + shape.scale_offset;
  const int groups = shape.scale_groups;
  float shared = 1.0f;
  bool whole = false;
  if (shape.scales == ScaleKind::kE4M3) {
    whole = Set::store_ue4m3_pairs(lines.pairs, stored, groups, shared);
  } else if (shape.scales == ScaleKind::kE8M0) {
    whole = Set::store_e8m0_pairs(lines.pairs, stored, groups, shared);
  } else if (shape.scales == ScaleKind::kBF16 && !kHalf) {
    whole = Set::store_bf16_pairs(lines.pairs, stored, groups, shared);
  }
  if (whole) {
    Lanes::store(lines.super, Lanes::broadcast(shared));
    return true;
  }
  decode_scales<true>(shape, unit, lines);
  return shape.scales == ScaleKind::kSuper;  // integers of 8 bits as they are
}

// Where codes are read from while multiplying: units, with kinds as in CodeKind, or a panel of
// codes that are ready for the product.
enum class Source : uint8_t {
  kNibble,
  kNibbleTable,
  kSmallTable,  // of values in +-kSmallLevel, read 32 too high
  kFive,
  kSix,
  kByte,
  kNibblePanel,
  kSmallPanel,
  kFivePanel,
  kSixPanel,
  kSignedPanel,
  kWordPanel,
};

constexpr bool is_panel(Source source) { return source >= Source::kNibblePanel; }

// Kinds whose values fill a signed byte take the product for signed codes.
constexpr bool is_signed(Source source) {
  return source == Source::kNibbleTable || source == Source::kByte ||
         source == Source::kSignedPanel;
}

// The panel of bytes that a unit of this source becomes.
constexpr Source panel_of(Source source) {
  if (is_signed(source)) return Source::kSignedPanel;
  if (source == Source::kSix && Lanes::kSignedOffsetShift != 7) return Source::kSixPanel;
  if (source == Source::kSix) return Source::kSignedPanel;
  if (source == Source::kSmallTable) return Source::kSmallPanel;
  return source == Source::kFive && Lanes::kFiveChain != Lanes::kNibbleChain ? Source::kFivePanel
                                                                             : Source::kNibblePanel;
}

// Power of two by which codes of this source are stored too high, as a shift; -1 for none.
constexpr int offset_shift(Source source) {
  if (source == Source::kSix || source == Source::kSixPanel) return 5;
  if (source == Source::kSmallTable || source == Source::kSmallPanel) return 5;
  return is_signed(source) ? Lanes::kSignedOffsetShift : -1;
}

// Codes with integer scales, but for what the scales of a unit share: of at most 8 bits, or 15
// where a six-bit panel has values in +-kSmallLevel.
constexpr bool has_integer_scales(Source source) {
  return source == Source::kNibble || source == Source::kNibblePanel || source == Source::kFive ||
         source == Source::kFivePanel || source == Source::kSix || source == Source::kSixPanel;
}

// Whether sums in 16 bits start at the offset's part: of a digit, they then end where they fit,
// whatever they pass.
constexpr bool starts_at_offset(Source source, bool digit, bool words) {
  return Lanes::kSums16 && digit && !words && offset_shift(source) == 5;
}

// Whether they are widened by the product with their scale.
constexpr bool widens_by_scale(Source source, bool digit, bool words) {
  return Lanes::kSums16 && digit && !words && has_integer_scales(source);
}

// The largest value of either sign with which the sum over 32 columns of a digit fits 16 bits.
constexpr int kSmallLevel = 16;

[[maybe_unused]] bool is_small_table(const PackedView& weight) {
  if (weight.unit.codes != CodeKind::kNibbleTable) return false;
  for (const int8_t value : weight.table) {
    if (value < -kSmallLevel || value > kSmallLevel) return false;
  }
  return true;
}

// Panels of small values whose scales are tried as integers, and what they then are: six-bit
// panels, whose bytes are as much too high. Not those with minima, which are multiplied with the
// scales as they are; nor units, which are read by too few rows to pay for the trial.
constexpr bool tries_integer_scales(Source source, bool min) {
  return source == Source::kSmallPanel && !min;
}
constexpr Source with_integer_scales(Source source, bool min) {
  return tries_integer_scales(source, min) ? Source::kSixPanel : source;
}

// What a source's product reads; returns whether its scales became integers.
template <Source kSource, bool kHalf, bool kMin, bool kDigit>
SLUICE_INLINE bool decode_scales_for(const ProductCall& call, const uint8_t* unit,
                                     ScaleLines& lines) {
  if constexpr (tries_integer_scales(kSource, kMin)) {
    if (call.moderate) return decode_integer_scales<kHalf>(call.weight->unit, unit, lines);
  }
  decode_scales<kDigit>(call.weight->unit, unit, lines);
  return false;
}

template <Source kSource>
SLUICE_INLINE Codes table_of(const PackedView& weight) {
  if constexpr (kSource != Source::kSmallTable) return Lanes::load_table(weight.table);
  int8_t values[16];
  for (int i = 0; i < 16; ++i) values[i] = static_cast<int8_t>(weight.table[i] + 32);
  return Lanes::load_table(values);
}

// Lines whose products a set can add up before they must be widened.
constexpr int chain_lines(Source source) {
  if (source == Source::kNibble || source == Source::kNibblePanel) return Lanes::kNibbleChain;
  if (source == Source::kFive || source == Source::kFivePanel) return Lanes::kFiveChain;
  if (source == Source::kSix || source == Source::kSixPanel) return Lanes::kSixChain;
  return 8;
}

// Line j of granule 2 pair + side. Lines lie in the order in which they are read (product.h), and
// those of panels of bytes as in CodeKind::kByte.
template <Source kSource>
SLUICE_INLINE Codes decode_line(const uint8_t* codes, const Codes table, int pair, int side,
                                int j) {
  if constexpr (is_panel(kSource) || kSource == Source::kByte) {
    const uint8_t* line = codes + kLine * (16 * pair + side) + kLine * 2 * j;
    return kSource == Source::kByte ? Lanes::signed_line(line) : Lanes::load_line(line);
  } else {
    int line = 8 * pair + j;
    if constexpr (kSource == Source::kFive) line = pair == 0 ? 2 * j : line + 8;
    if constexpr (kSource == Source::kSix) {
      line = 24 * (pair / 2) + (pair % 2 == 0 ? 2 * j : 16 + j);
    }
    const Codes both = Lanes::load_line(codes + kLine * line);
    Codes low = Lanes::and_mask(side == 0 ? both : Lanes::template shift_right<4>(both), 0x0f);
    if constexpr (kSource == Source::kNibbleTable || kSource == Source::kSmallTable) {
      low = Lanes::lookup(table, low);
    } else if constexpr (kSource == Source::kFive) {
      const Codes high = Lanes::load_line(codes + kLine * (2 * j + 1));
      const Codes bits = Lanes::shift_right_by(high, 2 * pair);
      low = Lanes::or_bits(low, Lanes::and_mask(side == 0 ? Lanes::template shift_left<4>(bits)
                                                          : Lanes::template shift_left<3>(bits),
                                                0x10));
    } else if constexpr (kSource == Source::kSix) {
      const Codes high = Lanes::load_line(codes + kLine * (24 * (pair / 2) + 2 * j + 1));
      const Codes bits = Lanes::shift_right_by(high, 4 * (pair % 2));
      low = Lanes::or_bits(low, Lanes::and_mask(side == 0 ? Lanes::template shift_left<4>(bits)
                                                          : Lanes::template shift_left<2>(bits),
                                                0x30));
    }
    return low;
  }
}

// How a unit of activations lies in memory.
template <bool kDigit, bool kWords>
struct Activations {
  static constexpr int kDigits = kDigit || kWords ? 1 : 2;
  static constexpr int64_t kCodeBytes = kIntegerColumns * (kWords ? 2 : kDigits);
  static constexpr int64_t kBytes = kCodeBytes + static_cast<int64_t>(sizeof(ActivationSums));
  static constexpr int64_t kScale = kCodeBytes + offsetof(ActivationSums, scale);
  // Of segment `segment` (16 columns each where a scale covers 16, else 32).
  template <bool kHalf>
  static constexpr int64_t minimum(int segment) {
    return kCodeBytes + 4 * segment +
           (kHalf ? offsetof(ActivationSums, minima16) : offsetof(ActivationSums, minima32));
  }
  template <bool kHalf>
  static constexpr int64_t offset(int segment) {
    return kCodeBytes + 4 * segment +
           (kHalf ? offsetof(ActivationSums, offsets16) : offsetof(ActivationSums, offsets32));
  }
  template <bool kHalf>
  static constexpr int64_t start(int segment) {
    return kCodeBytes + 4 * segment +
           (kHalf ? offsetof(ActivationSums, starts16) : offsetof(ActivationSums, starts32));
  }
};

int scale_shift_of(const UnitShape& shape) {
  int shift = 0;
  for (int groups = shape.scale_groups; groups < 8; groups *= 2) ++shift;
  return shift;
}

}  // namespace
}  // namespace sluice::cpu
