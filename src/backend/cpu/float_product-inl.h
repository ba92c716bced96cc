// Products of float codes (BF16, F16, F32, E4M3) with F32 activations: the
// arithmetic, once over `Lanes`. Inclusion and fencing as in
// integer_product-inl.h.
//
// Per 128 columns (32 where a scale covers 32) two sums, of the even and of the
// odd columns, ascending; then y += (even + odd) * scale, ascending. Weights
// are widened exactly.
#pragma once

#include "backend/cpu/float_tile-inl.h"
#include "backend/cpu/product.h"
#include "backend/cpu/product_rows-inl.h"

namespace sluice::cpu {
namespace {

template <int kRows>
SLUICE_INLINE void fold(const FloatScales& scales, int granule, Floats (&sums)[2][kRows],
                        Floats (&totals)[kRows]) {
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    const Floats sum = Lanes::add(sums[0][row], sums[1][row]);
    if (scales.granules != nullptr) {
      totals[row] = Lanes::fma(sum, Lanes::from_e8m0(scales.granules + 16 * granule), totals[row]);
    } else if (scales.tile != nullptr) {
      totals[row] = Lanes::fma(sum, Lanes::broadcast(*scales.tile), totals[row]);
    } else {
      totals[row] = Lanes::add(sum, totals[row]);
    }
    sums[0][row] = sums[1][row] = Lanes::broadcast(0.0f);
  }
}

template <CodeKind kKind, int kRows>
void float_direct(const ProductCall& call) {
  constexpr int kStep = step_columns<kKind>();
  const PackedView& weight = *call.weight;
  const FetchDistance* const fetch = fetch_of(call);
  const int64_t quarter = part_lines(weight.unit, 4);
  for (int64_t group = call.first_group; group < call.last_group; ++group) {
    const uint8_t* unit = weight.units + group * weight.units_per_group * weight.unit.bytes;
    const auto* activations = static_cast<const float*>(call.activations);
    Floats totals[kRows], sums[2][kRows];
    for (int row = 0; row < kRows; ++row) {
      totals[row] = sums[0][row] = sums[1][row] = Lanes::broadcast(0.0f);
    }
    for (int64_t u = 0; u < weight.units_per_group; ++u) {
      const uint8_t* codes = unit + weight.unit.code_offset;
      const FloatScales scales = scales_of(weight, group, u, unit);
      for (int granule = 0; granule < 4; ++granule) {
        if (fetch != nullptr) fetch_ahead(*fetch, codes + kLine * granule * quarter, quarter);
        SLUICE_UNROLL
        for (int step = 0; step < kGranule / kStep; ++step) {
          Floats columns[kStep];
          decode_step<kKind>(codes, granule * (kGranule / kStep) + step, columns);
          SLUICE_UNROLL
          for (int i = 0; i < kStep; ++i) {
            SLUICE_UNROLL
            for (int row = 0; row < kRows; ++row) {
              const float* a =
                  activations + row * kFloatColumns + granule * kGranule + step * kStep + i;
              sums[i % 2][row] = Lanes::fma(columns[i], Lanes::broadcast(*a), sums[i % 2][row]);
            }
          }
        }
        if (granule == 3 || scales.granules != nullptr) fold<kRows>(scales, granule, sums, totals);
      }
      unit += weight.unit.bytes;
      activations += kRows * kFloatColumns;
    }
    for (int row = 0; row < kRows; ++row) write_out(call, group, row, totals[row]);
  }
}

template <CodeKind kKind, int kRows>
void float_direct_rows(const ProductCall& call) {
  if constexpr (kRows > 1) {
    if (call.rows != kRows) return float_direct_rows<kKind, kRows - 1>(call);
  }
  float_direct<kKind, kRows>(call);
}

template <CodeKind kKind>
void float_any(const ProductCall& call) {
  if (call.rows <= Lanes::kFloatDirectRows)
    return float_direct_rows<kKind, Lanes::kFloatDirectRows>(call);
  float_blocked<kKind>(call);
}

void run_float_product(const ProductCall& call) {
  switch (call.weight->unit.codes) {
    case CodeKind::kBF16:
      return float_any<CodeKind::kBF16>(call);
    case CodeKind::kF16:
      return float_any<CodeKind::kF16>(call);
    case CodeKind::kF32:
      return float_any<CodeKind::kF32>(call);
    case CodeKind::kE4M3:
      return float_any<CodeKind::kE4M3>(call);
    default:
      return;
  }
}

}  // namespace
}  // namespace sluice::cpu
