// Products of float codes (BF16, F16, F32, E4M3) with F32 activations: the
// arithmetic, once over `Lanes`. Inclusion and fencing as in
// integer_product-inl.h.
//
// Per 128 columns (32 where a scale covers 32) two sums, of the even and of the
// odd columns, ascending; then y += (even + odd) * scale, ascending. Weights
// are widened exactly.
#pragma once

#include "backend/cpu/product.h"
#include "backend/cpu/product_rows-inl.h"

namespace sluice::cpu {
namespace {

struct alignas(64) FloatPanel {
  float columns[kFloatColumns][kGroupRows];
};

// Columns that step `step` of a unit yields: a line of E4M3 four, of BF16 two;
// F16 and F32 two as well.
template <CodeKind kKind>
constexpr int step_columns() {
  return kKind == CodeKind::kE4M3 ? 4 : 2;
}

template <CodeKind kKind>
SLUICE_INLINE void decode_step(const uint8_t* codes, int step, Floats* columns) {
  if constexpr (kKind == CodeKind::kE4M3) {
    Lanes::from_e4m3_line(codes + kLine * step, columns);
  } else if constexpr (kKind == CodeKind::kBF16) {
    Lanes::from_bf16_line(codes + kLine * step, columns);
  } else if constexpr (kKind == CodeKind::kF16) {
    columns[0] = Lanes::from_f16(codes + 64 * step);
    columns[1] = Lanes::from_f16(codes + 64 * step + 32);
  } else {
    columns[0] = Lanes::from_f32(codes + 128 * step);
    columns[1] = Lanes::from_f32(codes + 128 * step + 64);
  }
}

struct FloatScales {
  const uint8_t* granules = nullptr;  // e8m0 [4][16 rows], or null
  const float* tile = nullptr;        // one for the unit, or null
};

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

SLUICE_INLINE FloatScales scales_of(const PackedView& weight, int64_t group, int64_t u,
                                    const uint8_t* unit) {
  FloatScales scales;
  if (weight.unit.scales == ScaleKind::kE8M0) scales.granules = unit + weight.unit.scale_offset;
  if (weight.tile_scales != nullptr)
    scales.tile = weight.tile_scales + group * weight.units_per_group + u;
  return scales;
}

template <CodeKind kKind, int kRows>
void float_direct(const ProductCall& call) {
  constexpr int kStep = step_columns<kKind>();
  const PackedView& weight = *call.weight;
  const FetchDistance* const fetch = fetch_of(call);
  const int64_t quarter = quarter_bytes(weight.unit);
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
        if (fetch != nullptr) fetch_ahead(*fetch, codes + granule * quarter, quarter);
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

template <CodeKind kKind>
void decode_float_panel(const uint8_t* codes, FloatPanel& panel) {
  constexpr int kStep = step_columns<kKind>();
  SLUICE_UNROLL
  for (int step = 0; step < kFloatColumns / kStep; ++step) {
    Floats columns[kStep];
    decode_step<kKind>(codes, step, columns);
    SLUICE_UNROLL
    for (int i = 0; i < kStep; ++i) Lanes::store(panel.columns[step * kStep + i], columns[i]);
  }
}

template <int kRows>
SLUICE_INLINE void multiply_float_panel(const FloatPanel& panel, const FloatScales& scales,
                                        const float* activations, float (*results)[kGroupRows]) {
  Floats totals[kRows], sums[2][kRows];
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    totals[row] = Lanes::load(results[row]);
    sums[0][row] = sums[1][row] = Lanes::broadcast(0.0f);
  }
  for (int granule = 0; granule < 4; ++granule) {
    for (int k = granule * kGranule; k < (granule + 1) * kGranule; k += 2) {
      SLUICE_UNROLL
      for (int i = 0; i < 2; ++i) {
        const Floats column = Lanes::load(panel.columns[k + i]);
        SLUICE_UNROLL
        for (int row = 0; row < kRows; ++row) {
          const float* a = activations + row * kFloatColumns + k + i;
          sums[i][row] = Lanes::fma(column, Lanes::broadcast(*a), sums[i][row]);
        }
      }
    }
    if (granule == 3 || scales.granules != nullptr) fold<kRows>(scales, granule, sums, totals);
  }
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) Lanes::store(results[row], totals[row]);
}

// The panel product of `rows` rows, kLeast to kRows.
template <int kLeast, int kRows>
void multiply_float_rows(int64_t rows, const FloatPanel& panel, const FloatScales& scales,
                         const float* activations, float (*results)[kGroupRows]) {
  if constexpr (kRows > kLeast) {
    if (rows != kRows) {
      return multiply_float_rows<kLeast, kRows - 1>(rows, panel, scales, activations, results);
    }
  }
  multiply_float_panel<kRows>(panel, scales, activations, results);
}

template <CodeKind kKind>
void float_blocked(const ProductCall& call) {
  constexpr int kMost = Lanes::kFloatRows, kLeast = (kMost + 1) / 2;  // of equal pieces
  const PackedView& weight = *call.weight;
  FloatPanel panel;
  alignas(64) float results[kBlockRows][kGroupRows];
  const int64_t blocks = (call.rows + kBlockRows - 1) / kBlockRows;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first = piece_begin(call.rows, blocks, block);
    const int64_t rows = piece_begin(call.rows, blocks, block + 1) - first;
    const int64_t tiles = (rows + kMost - 1) / kMost, lines = weight.unit.bytes / kLine;
    for (int64_t group = call.first_group; group < call.last_group; ++group) {
      const uint8_t* unit = weight.units + group * weight.units_per_group * weight.unit.bytes;
      const float* activations =
          static_cast<const float*>(call.activations) + first * kFloatColumns;
      for (int64_t row = 0; row < rows; ++row) Lanes::store(results[row], Lanes::broadcast(0.0f));
      for (int64_t u = 0; u < weight.units_per_group; ++u) {
        const FloatScales scales = scales_of(weight, group, u, unit);
        decode_float_panel<kKind>(unit + weight.unit.code_offset, panel);
        unit += weight.unit.bytes;
        const bool more = u + 1 < weight.units_per_group || group + 1 < call.last_group;
        for (int64_t tile = 0; tile < tiles; ++tile) {
          if (more) {
            prefetch(unit, piece_begin(lines, tiles, tile), piece_begin(lines, tiles, tile + 1));
          }
          const int64_t row = piece_begin(rows, tiles, tile);
          multiply_float_rows<kLeast, kMost>(piece_begin(rows, tiles, tile + 1) - row, panel,
                                             scales, activations + row * kFloatColumns,
                                             results + row);
        }
        activations += call.rows * kFloatColumns;
      }
      for (int64_t row = 0; row < rows; ++row) {
        write_out(call, group, first + row, Lanes::load(results[row]));
      }
    }
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
  if (call.rows <= Lanes::kFloatDirectRows) {
    return float_direct_rows<kKind, Lanes::kFloatDirectRows>(call);
  }
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
