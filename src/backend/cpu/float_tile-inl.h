// Many rows of float codes: tiles of rows by Lanes::kFloatGroups groups of outputs, whose sums stay
// in registers. Inclusion and fencing as in integer_product-inl.h; the arithmetic is defined in
// float_product-inl.h.
//
// Sums of even and of odd columns are independent, so a large tile goes through a unit once for
// each: twice the rows fit the registers, and every broadcast and every column serve twice the
// products. AVX2 is otherwise bound by its loads.
#pragma once

#include "backend/cpu/product.h"
#include "backend/cpu/product_rows-inl.h"

namespace sluice::cpu {
namespace {

// Columns that a step of a unit holds, and its bytes.
template <CodeKind kKind>
constexpr int step_columns() {
  return kKind == CodeKind::kE4M3 ? 4 : 2;
}
template <CodeKind kKind>
constexpr int step_bytes() {
  return kKind == CodeKind::kF32 ? 2 * kLine : kLine;
}

struct alignas(64) FloatPanel {
  float columns[kFloatColumns][kGroupRows];
};

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

SLUICE_INLINE FloatScales scales_of(const PackedView& weight, int64_t group, int64_t u,
                                    const uint8_t* unit) {
  FloatScales scales;
  if (weight.unit.scales == ScaleKind::kE8M0) scales.granules = unit + weight.unit.scale_offset;
  if (weight.tile_scales != nullptr)
    scales.tile = weight.tile_scales + group * weight.units_per_group + u;
  return scales;
}

// The factor of a unit's sum, or of a granule's that has a scale of its own.
SLUICE_INLINE Floats factor_of(const FloatScales& scales, int granule) {
  if (scales.granules != nullptr) return Lanes::from_e8m0(scales.granules + 16 * granule);
  return Lanes::broadcast(scales.tile != nullptr ? *scales.tile : 1.0f);
}

template <CodeKind kKind, int kColumn>
SLUICE_INLINE Floats column_of(const uint8_t* step) {
  if constexpr (kKind == CodeKind::kE4M3) {
    return Lanes::from_e4m3_column<kColumn>(step);
  } else if constexpr (kKind == CodeKind::kBF16) {
    return Lanes::from_bf16_column<kColumn>(step);
  } else if constexpr (kKind == CodeKind::kF16) {
    return Lanes::from_f16(step + 32 * kColumn);
  } else {
    return Lanes::from_f32(step + 64 * kColumn);
  }
}

// What a tile reads of one unit of each of its groups: codes, or columns decoded before, which lie
// as those of F32 do.
template <int kGroups>
struct FloatUnits {
  const uint8_t* codes[kGroups];
  FloatScales scales[kGroups];
  const FetchDistance* fetch = nullptr;  // null for none
  const uint8_t* read[kGroups];          // from memory, where memory is asked for ahead
  StreamEnd ends[kGroups];
  int64_t eighth = 0;  // of a unit, in lines
};

template <CodeKind kKind, int kColumn, int kRows, int kGroups>
SLUICE_INLINE void add_column(const uint8_t* const (&steps)[kGroups], const float* activations,
                              Floats (&sums)[kRows][kGroups]) {
  Floats columns[kGroups];
  SLUICE_UNROLL
  for (int g = 0; g < kGroups; ++g) columns[g] = column_of<kKind, kColumn>(steps[g]);
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    Lanes::add_scaled(sums[row], columns, activations + row * kFloatColumns + kColumn);
  }
}

// Columns [begin, end) of parity kParity, or all of them where two sums are given.
template <CodeKind kKind, int kParity, int kRows, int kGroups, int kSums>
SLUICE_INLINE void add_columns(const FloatUnits<kGroups>& units, int begin, int end,
                               const float* activations, Floats (&sums)[kSums][kRows][kGroups]) {
  constexpr int kStep = step_columns<kKind>();
  const uint8_t* steps[kGroups];
  SLUICE_UNROLL
  for (int g = 0; g < kGroups; ++g) steps[g] = units.codes[g] + begin / kStep * step_bytes<kKind>();
  const float* const last = activations + end;
  for (const float* a = activations + begin; a != last; a += kStep) {
    add_column<kKind, kParity, kRows, kGroups>(steps, a, sums[0]);
    if constexpr (kSums == 2) add_column<kKind, 1, kRows, kGroups>(steps, a, sums[1]);
    if constexpr (kStep == 4) {
      add_column<kKind, 2 + kParity, kRows, kGroups>(steps, a, sums[0]);
      if constexpr (kSums == 2) add_column<kKind, 3, kRows, kGroups>(steps, a, sums[1]);
    }
    SLUICE_UNROLL
    for (int g = 0; g < kGroups; ++g) steps[g] += step_bytes<kKind>();
  }
}

// kEighths eighths of a unit from `eighth` on.
template <int kEighths, int kGroups>
SLUICE_INLINE void fetch_part(const FloatUnits<kGroups>& units, int eighth) {
  if (units.fetch == nullptr) return;
  SLUICE_UNROLL
  for (int g = 0; g < kGroups; ++g) {
    fetch_ahead(*units.fetch, units.read[g] + kLine * eighth * units.eighth,
                kEighths * units.eighth, units.ends[g]);
  }
}

template <int kRows, int kGroups, int kSums>
SLUICE_INLINE void clear(Floats (&sums)[kSums][kRows][kGroups]) {
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    SLUICE_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      for (int i = 0; i < kSums; ++i) sums[i][row][g] = Lanes::broadcast(0.0f);
    }
  }
}

// Columns [begin, end), whole granules; with both parities, or one after the other.
template <CodeKind kKind, int kParity, int kRows, int kGroups, int kSums>
SLUICE_INLINE void add_granules(const FloatUnits<kGroups>& units, int begin, int end,
                                const float* activations, Floats (&sums)[kSums][kRows][kGroups]) {
  for (int k = begin; k < end; k += kGranule) {
    if constexpr (kSums == 2) fetch_part<2>(units, 2 * (k / kGranule));
    if constexpr (kSums == 1) fetch_part<1>(units, k / kGranule + 4 * kParity);
    add_columns<kKind, kParity>(units, k, k + kGranule, activations, sums);
  }
}

// The sums of columns [begin, end) of one parity. Not inlined, and through memory: seeing both
// passes, GCC 12 keeps the first one's sums in the registers that the second needs.
template <CodeKind kKind, int kParity, int kRows, int kGroups>
__attribute__((noinline)) void sum_parity(const FloatUnits<kGroups>& units, int begin, int end,
                                          const float* activations,
                                          float (*results)[kGroups][kGroupRows]) {
  Floats sums[1][kRows][kGroups];
  clear(sums);
  add_granules<kKind, kParity>(units, begin, end, activations, sums);
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    SLUICE_UNROLL
    for (int g = 0; g < kGroups; ++g) Lanes::store(results[row][g], sums[0][row][g]);
  }
}

// The sums of columns [begin, end), times their scale, to the results.
template <CodeKind kKind, int kRows, int kGroups>
SLUICE_INLINE void add_part(const FloatUnits<kGroups>& units, int begin, int end,
                            const float* activations, float (*results)[kGroups][kGroupRows]) {
  constexpr bool kBoth = kRows <= Lanes::kFloatBothRows;
  Floats sums[2][kRows][kGroups];
  alignas(64) float halves[2][kRows][kGroups][kGroupRows];
  if constexpr (kBoth) {
    clear(sums);
    add_granules<kKind, 0>(units, begin, end, activations, sums);
  } else {
    sum_parity<kKind, 0, kRows>(units, begin, end, activations, halves[0]);
    sum_parity<kKind, 1, kRows>(units, begin, end, activations, halves[1]);
  }
  SLUICE_UNROLL
  for (int g = 0; g < kGroups; ++g) {
    const Floats factor = factor_of(units.scales[g], begin / kGranule);
    SLUICE_UNROLL
    for (int row = 0; row < kRows; ++row) {
      const Floats even = kBoth ? sums[0][row][g] : Lanes::load(halves[0][row][g]);
      const Floats odd = kBoth ? sums[1][row][g] : Lanes::load(halves[1][row][g]);
      Lanes::store(results[row][g],
                   Lanes::fma(Lanes::add(even, odd), factor, Lanes::load(results[row][g])));
    }
  }
}

template <CodeKind kKind, int kRows, int kGroups>
void multiply_float_tile(const FloatUnits<kGroups>& units, const float* activations,
                         float (*results)[kGroups][kGroupRows]) {
  const int width = units.scales[0].granules != nullptr ? kGranule : kFloatColumns;
  for (int begin = 0; begin < kFloatColumns; begin += width) {
    add_part<kKind, kRows>(units, begin, begin + width, activations, results);
  }
}

// The tile of `rows` rows, kLeast to kRows.
template <CodeKind kKind, int kLeast, int kRows, int kGroups>
void multiply_float_tile_of(int64_t rows, const FloatUnits<kGroups>& units,
                            const float* activations, float (*results)[kGroups][kGroupRows]) {
  if constexpr (kRows > kLeast) {
    if (rows != kRows) {
      return multiply_float_tile_of<kKind, kLeast, kRows - 1>(rows, units, activations, results);
    }
  }
  multiply_float_tile<kKind, kRows>(units, activations, results);
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

// Columns of a panel as the units of F32 have them.
template <CodeKind kKind>
constexpr CodeKind tile_kind() {
  return Lanes::kFloatPanels ? CodeKind::kF32 : kKind;
}

// Adds a run of units to the results.
template <CodeKind kKind>
void multiply_float_run(const ProductCall& call, const UnitRun& run,
                        float (*results)[Lanes::kFloatGroups][kGroupRows]) {
  constexpr int kGroups = Lanes::kFloatGroups, kMost = Lanes::kFloatTileRows;
  constexpr int kHalf = (kMost + 1) / 2, kDirect = Lanes::kFloatDirectRows;
  constexpr int kLeast = kHalf <= kDirect ? kHalf : kDirect + 1;  // of equal pieces
  constexpr bool kPanel = tile_kind<kKind>() != kKind;
  const PackedView& weight = *call.weight;
  FloatPanel panels[kPanel ? kGroups : 1];
  FloatUnits<kGroups> units{};
  units.eighth = part_lines(weight.unit, 8);
  int64_t own[kGroups];
  const uint8_t* unit[kGroups];
  for (int g = 0; g < kGroups; ++g) {
    // A lone last group is multiplied twice: a tile of one would double the code.
    own[g] = run.group + g < run.last ? run.group + g : run.group;
    unit[g] = weight.units + (own[g] * weight.units_per_group + run.from) * weight.unit.bytes;
    units.ends[g] = stream_end(weight, run, own[g]);
  }
  const int64_t tiles = (run.rows + kMost - 1) / kMost;
  const auto* activations = static_cast<const float*>(call.activations) +
                            (run.from * call.rows + run.first) * kFloatColumns;
  for (int64_t u = run.from; u < run.to; ++u) {
    units.fetch = fetch_of(call);
    for (int g = 0; g < kGroups; ++g) {
      units.scales[g] = scales_of(weight, own[g], u, unit[g]);
      units.codes[g] = units.read[g] = unit[g] + weight.unit.code_offset;
      if constexpr (kPanel) {
        decode_float_panel<kKind>(units.codes[g], panels[g]);
        units.codes[g] = reinterpret_cast<const uint8_t*>(panels[g].columns);
      }
      unit[g] += weight.unit.bytes;
    }
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t row = piece_begin(run.rows, tiles, tile);
      multiply_float_tile_of<tile_kind<kKind>(), kLeast, kMost>(
          piece_begin(run.rows, tiles, tile + 1) - row, units, activations + row * kFloatColumns,
          results + row);
      units.fetch = nullptr;  // the next tiles find the unit in the cache
    }
    activations += call.rows * kFloatColumns;
  }
}

template <CodeKind kKind>
void float_blocked(const ProductCall& call) {
  multiply_block<Lanes::kFloatGroups>(
      call, kFloatColumns * int64_t{sizeof(float)},
      [&](const UnitRun& run, float(*results)[Lanes::kFloatGroups][kGroupRows]) {
        multiply_float_run<kKind>(call, run, results);
      });
}

}  // namespace
}  // namespace sluice::cpu
