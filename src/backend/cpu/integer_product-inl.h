// Products of integer codes with integer activations: the arithmetic, written once over `Lanes`.
//
// Included by exactly one .cc file per instruction set, after that set's lanes-inl.h. Everything is
// in an unnamed namespace, so that each object keeps its own copies (style.md 3.4). Highway does
// the same with macros; here a struct of 16 lanes suffices.
//
// The arithmetic of a row, the same for any number of rows and threads. Per granule (or half
// granule, where a scale covers 16 columns) the exact integer sum I of codes times activations;
// then in ascending order
//   wide:  u += float(I) * scale - float(sum of activations) * min;  per unit
//   y += u * activation scale
//   digit: u += (float(I) * scale) * activation scale; scales per 16:
//   u += (float(I0) * scale0 + float(I1) * scale1) * activation scale; per unit
//   y -= (float(sum of activations) * activation scale) * min, then y += u * what its scales share
// with fused multiply-adds where the set has them. Integer scales of a digit stay integers, so that
// float(I) * scale may as well be an integer product where both are exact.
#pragma once

#include "backend/cpu/integer_codes-inl.h"
#include "backend/cpu/integer_tile-inl.h"
#include "backend/cpu/product.h"
#include "backend/cpu/product_rows-inl.h"

namespace sluice::cpu {
namespace {

// One or two rows times one unit: both granules of a pair at once, so that each line is loaded
// once. kHalf: a scale covers 16 columns instead of 32 or more. fetch: null for none.
template <Source kSource, bool kHalf, bool kMin, bool kDigit, int kRows, typename Set = Lanes>
SLUICE_INLINE void multiply_unit(const uint8_t* codes, const Codes table, const ScaleLines& lines,
                                 int scale_shift, const uint8_t* activations,
                                 const FetchDistance* fetch, int64_t quarter,
                                 Floats (&totals)[kRows][1]) {
  using Form = Activations<kDigit, false>;
  constexpr bool kStarts = starts_at_offset(kSource, kDigit, false);
  constexpr bool kByScale = widens_by_scale(kSource, kDigit, false);
  constexpr int kSegments = kHalf ? 2 : 1, kSegmentLines = 8 / kSegments;
  constexpr int kChain =
      kStarts || chain_lines(kSource) > kSegmentLines ? kSegmentLines : chain_lines(kSource);
  Floats unit_sums[kRows][1];
  for (int row = 0; row < kRows; ++row) unit_sums[row][0] = Lanes::broadcast(0.0f);

  for (int pair = 0; pair < 4; ++pair) {
    if (fetch != nullptr) fetch_ahead(*fetch, codes + kLine * pair * quarter, quarter);
    Ints sums[2][kSegments][kRows][Form::kDigits];
    SLUICE_UNROLL
    for (int segment = 0; segment < kSegments; ++segment) {
      SLUICE_UNROLL
      for (int chain = 0; chain < kSegmentLines / kChain; ++chain) {
        Ints part[2][kRows][Form::kDigits];
        SLUICE_UNROLL
        for (int row = 0; row < kRows; ++row) {
          SLUICE_UNROLL
          for (int digit = 0; digit < Form::kDigits; ++digit) {
            SLUICE_UNROLL
            for (int side = 0; side < 2; ++side) {
              part[side][row][digit] = Lanes::zero();
              if constexpr (kStarts) {
                const int at = kSegments * (2 * pair + side) + segment;
                part[side][row][digit] = Lanes::template broadcast_shifted<0>(
                    activations + row * Form::kBytes + Form::template start<kHalf>(at));
              }
            }
          }
        }
        SLUICE_UNROLL
        for (int line = 0; line < kChain; ++line) {
          const int j = segment * kSegmentLines + chain * kChain + line;
          const Codes even = decode_line<kSource>(codes, table, pair, 0, j);
          const Codes odd = decode_line<kSource>(codes, table, pair, 1, j);
          SLUICE_UNROLL
          for (int row = 0; row < kRows; ++row) {
            SLUICE_UNROLL
            for (int digit = 0; digit < Form::kDigits; ++digit) {
              const uint8_t* a =
                  activations + row * Form::kBytes + digit * kIntegerColumns + 64 * pair + 4 * j;
              Lanes::template add_products<is_signed(kSource)>(part[0][row][digit], even, a);
              Lanes::template add_products<is_signed(kSource)>(part[1][row][digit], odd,
                                                               a + kGranule);
            }
          }
        }
        SLUICE_UNROLL
        for (int side = 0; side < 2; ++side) {
          SLUICE_UNROLL
          for (int row = 0; row < kRows; ++row) {
            SLUICE_UNROLL
            for (int digit = 0; digit < Form::kDigits; ++digit) {
              Ints wide;
              if constexpr (kByScale) {
                const int at = kSegments * (2 * pair + side) + segment;
                wide = Set::multiply_pairs(part[side][row][digit], lines.pairs[at]);
              } else {
                wide = Lanes::template widen<is_signed(kSource)>(part[side][row][digit]);
              }
              Ints& sum = sums[side][segment][row][digit];
              sum = chain == 0 ? wide : Lanes::add_ints(sum, wide);
            }
          }
        }
      }
    }
    SLUICE_UNROLL
    for (int side = 0; side < 2; ++side) {
      Floats firsts[kRows] = {};  // as in multiply_granule()
      SLUICE_UNROLL
      for (int segment = 0; segment < kSegments; ++segment) {
        const int granule = 2 * pair + side, at = kSegments * granule + segment;
        if constexpr (kByScale) {
          if (segment + 1 < kSegments) continue;
          SLUICE_UNROLL
          for (int row = 0; row < kRows; ++row) {
            Ints whole = sums[side][0][row][0];
            if constexpr (kHalf) whole = Lanes::add_ints(whole, sums[side][1][row][0]);
            add_granule<Form>(Lanes::to_float(whole), granule, activations + row * Form::kBytes,
                              unit_sums[row][0]);
          }
          continue;
        }
        const int index = kHalf ? at : granule >> scale_shift;
        const Floats scale = Lanes::load(lines.scale[index]);
        SLUICE_UNROLL
        for (int row = 0; row < kRows; ++row) {
          const uint8_t* a = activations + row * Form::kBytes;
          Ints whole = sums[side][segment][row][0];
          if constexpr (!kDigit) whole = Lanes::join_digits(whole, sums[side][segment][row][1]);
          if constexpr (offset_shift(kSource) >= 0 && !kStarts) {
            whole =
                Lanes::add_ints(whole, Lanes::template broadcast_shifted<7 - offset_shift(kSource)>(
                                           a + Form::template offset<kHalf>(at)));
          }
          add_scaled<Form, kHalf, kMin, kDigit>(whole, scale, lines.min[index], granule, at, a,
                                                firsts[row], unit_sums[row][0]);
        }
      }
    }
  }
  add_unit<Form, kHalf, kMin, kDigit>(unit_sums, &lines, scale_shift, activations, totals);
}

// One or two rows: codes go from memory through registers into the product.
template <Source kSource, bool kHalf, bool kMin, bool kDigit, int kRows>
void multiply_direct(const ProductCall& call) {
  using Form = Activations<kDigit, false>;
  const PackedView& weight = *call.weight;
  const UnitShape& shape = weight.unit;
  const int scale_shift = scale_shift_of(shape);
  const Codes table = table_of<kSource>(weight);
  const FetchDistance* const fetch = fetch_of(call);
  const int64_t quarter = part_lines(shape, 4);
  alignas(64) ScaleLines lines;
  for (int64_t group = call.first_group; group < call.last_group; ++group) {
    const uint8_t* unit = weight.units + group * weight.units_per_group * shape.bytes;
    const auto* activations = static_cast<const uint8_t*>(call.activations);
    Floats totals[kRows][1];
    for (int row = 0; row < kRows; ++row) totals[row][0] = Lanes::broadcast(0.0f);
    for (int64_t u = 0; u < weight.units_per_group; ++u) {
      decode_scales<kDigit>(shape, unit, lines);
      multiply_unit<kSource, kHalf, kMin, kDigit, kRows>(
          unit + shape.code_offset, table, lines, scale_shift, activations, fetch, quarter, totals);
      unit += shape.bytes;
      activations += kRows * Form::kBytes;
    }
    for (int row = 0; row < kRows; ++row) write_out(call, group, row, totals[row][0]);
  }
}

// Whether so many rows are to come as WordUnit; run_integer_product relies on the answer.
[[maybe_unused]] bool wants_words(const PackedView& weight, bool digit, int64_t rows) {
  const CodeKind codes = weight.unit.codes;
  const bool is_signed = codes == CodeKind::kByte || codes == CodeKind::kNibbleTable;
  if (is_signed && !Lanes::kSignedBytes)
    return !(digit && Lanes::kSums16 && is_small_table(weight));
  return !digit && rows >= Lanes::kWordsFrom;
}

template <Source kSource, bool kHalf, bool kMin, bool kDigit>
void multiply_any(const ProductCall& call) {
  if constexpr (Lanes::kWords) {
    if (call.words) return multiply_tiled<kSource, kHalf, kMin, kDigit, true>(call);
  }
  if constexpr (Lanes::kSignedBytes || !is_signed(kSource)) {
    if (call.rows == 1) return multiply_direct<kSource, kHalf, kMin, kDigit, 1>(call);
    if constexpr (Lanes::kPairRows == 2) {
      if (call.rows == 2) return multiply_direct<kSource, kHalf, kMin, kDigit, 2>(call);
    }
    multiply_tiled<kSource, kHalf, kMin, kDigit, false>(call);
  }
}

template <Source kSource, bool kHalf, bool kMin>
void multiply_mode(const ProductCall& call) {
  if constexpr (kSource == Source::kSmallTable) {
    if (call.rows == 1) return multiply_direct<kSource, kHalf, kMin, true, 1>(call);
    return multiply_tiled<kSource, kHalf, kMin, true, false>(call);
  } else {
    if (call.digit) return multiply_any<kSource, kHalf, kMin, true>(call);
    multiply_any<kSource, kHalf, kMin, false>(call);
  }
}

template <Source kSource>
void multiply_source(const ProductCall& call) {
  if constexpr (Lanes::kSums16 && kSource == Source::kNibbleTable) {
    if (!call.words) return multiply_source<Source::kSmallTable>(call);
  }
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
