// Products of integer codes by int8 tiles, with the bits of integer_product-inl.h.
//
// Included behind a lanes-inl.h, integer_product-inl.h, tile_codes-inl.h and one of the bodies of
// `Tiles` (tile.h). The arithmetic is that of integer_product-inl.h: tiles make its exact integer
// sums, one per scale group, digit and row, and lanes do to them what they do there, in the same
// order. So rows may go by either, and what is proven without the hardware is proven for it.
//
// A step is 16 rows by 8 scale groups of a unit. Its products go round four C tiles, because one
// alone would wait for its own latency. These are running sums, never set to zero: they wrap, and
// the fold subtracts the sum that stood in the tile before. Zeroing a tile in front of each product
// costs more than twice the product itself (spec/cpu-kernels.md 1.2, 2.3). The fold of a step runs
// between the products of the next, and a unit's codes are decoded one unit ahead, so that neither
// waits for a store.
#pragma once

#include "backend/cpu/product.h"
#include "backend/cpu/product_rows-inl.h"

namespace sluice::cpu {
namespace {

constexpr int kStepGroups = 8;
constexpr int kStepRows = amx::kTileRows;

template <bool kHalf, bool kDigit>
struct TileForm {
  using Rows = Activations<kDigit, false>;
  static constexpr int kDigits = Rows::kDigits;
  static constexpr int kColumns = kHalf ? 16 : kGranule;  // of a scale group
  static constexpr int kParts = kHalf ? 2 : 1;            // steps a unit
  static constexpr int kSides = 4 / kDigits;              // scale groups a turn: four C tiles
  static constexpr int kTurns = kStepGroups / kSides;
  static constexpr int kFoldRows = kStepRows / kTurns;
  static constexpr int64_t kRowBytes = Rows::kBytes;
};

// C tiles as stored, modulo 2^32.
template <typename Form>
struct alignas(64) TileSums {
  int32_t sums[kStepGroups][Form::kDigits][kStepRows][kGroupRows];
};

struct Step {
  const uint8_t* activations = nullptr;  // of the tile's first row, this unit
  const ScaleLines* scales = nullptr;
  int part = 0;           // which 8 of the unit's scale groups
  int rows = 0;           // of the tile
  int skip = 0;           // leading ones that an earlier tile has done
  int64_t first_row = 0;  // of the tile, in totals; below 0 only for rows that are skipped
  int buffer = 0;         // of its sums; the step before has the other
};

template <typename Form>
struct TileWork {
  TilePanel panels[2];
  ScaleLines scales[2];
  TileSums<Form> sums[2];
  alignas(64) float unit_sums[kStepRows][kGroupRows];  // between the parts of a unit
  float (*totals)[1][kGroupRows] = nullptr;            // of the run's rows
  int scale_shift = 0;
};

// Sixteen lanes modulo 2^32, by the compilers' vector extension: those of Lanes are signed, and may
// not overflow.
using Words = uint32_t __attribute__((vector_size(kLine)));

template <typename Form>
SLUICE_INLINE void load_joined(const TileSums<Form>& sums, int group, int row, Words& joined) {
  __builtin_memcpy(&joined, sums.sums[group][0][row], sizeof joined);
  if constexpr (Form::kDigits == 2) {
    Words low;
    __builtin_memcpy(&low, sums.sums[group][1][row], sizeof low);
    joined = (joined << 7) + low;
  }
}

// Adds a step's sums to the totals of kRows rows.
template <bool kHalf, bool kMin, bool kDigit, int kRows>
SLUICE_INLINE void fold_rows(TileWork<TileForm<kHalf, kDigit>>& work, const Step& step, int first) {
  using Form = TileForm<kHalf, kDigit>;
  const TileSums<Form>& sums = work.sums[step.buffer];
  float(*totals)[1][kGroupRows] = work.totals + (step.first_row + first);
  Words before[kRows][Form::kSides];
  Floats values[kRows][1];
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) {
    SLUICE_UNROLL
    for (int side = 0; side < Form::kSides; ++side) {
      load_joined(work.sums[1 - step.buffer], kStepGroups - Form::kSides + side, first + row,
                  before[row][side]);
    }
    values[row][0] =
        step.part == 0 ? Lanes::broadcast(0.0f) : Lanes::load(work.unit_sums[first + row]);
  }
  Floats firsts[kRows];
  for (int turn = 0; turn < Form::kTurns; ++turn) {
    SLUICE_UNROLL
    for (int side = 0; side < Form::kSides; ++side) {
      const int group = turn * Form::kSides + side;
      const int index = kStepGroups * step.part + group;  // in the unit
      const int granule = kHalf ? index / 2 : index;
      const int line = kHalf ? index : granule >> work.scale_shift;
      const Floats scale = Lanes::load(step.scales->scale[line]);
      SLUICE_UNROLL
      for (int row = 0; row < kRows; ++row) {
        const uint8_t* a = step.activations + (first + row) * Form::kRowBytes;
        Words now;
        load_joined(sums, group, first + row, now);
        const Words difference = now - before[row][side];
        before[row][side] = now;
        Ints exact;
        __builtin_memcpy(&exact, &difference, sizeof exact);
        add_scaled<typename Form::Rows, kHalf, kMin, kDigit>(exact, scale, step.scales->min[line],
                                                             granule, kHalf ? index : granule, a,
                                                             firsts[row], values[row][0]);
      }
    }
  }
  if (step.part + 1 < Form::kParts) {
    SLUICE_UNROLL
    for (int row = 0; row < kRows; ++row) {
      Lanes::store(work.unit_sums[first + row], values[row][0]);
    }
    return;
  }
  Floats row_totals[kRows][1];
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) row_totals[row][0] = Lanes::load(totals[row][0]);
  add_unit<typename Form::Rows, kHalf, kMin, kDigit>(values, step.scales, work.scale_shift,
                                                     step.activations + first * Form::kRowBytes,
                                                     row_totals);
  SLUICE_UNROLL
  for (int row = 0; row < kRows; ++row) Lanes::store(totals[row][0], row_totals[row][0]);
}

// The rows of a step that are folded beside turn `turn` of the next.
template <bool kHalf, bool kMin, bool kDigit>
void fold_turn(TileWork<TileForm<kHalf, kDigit>>& work, const Step& step, int turn) {
  constexpr int kRows = TileForm<kHalf, kDigit>::kFoldRows;
  const int last = step.rows < (turn + 1) * kRows ? step.rows : (turn + 1) * kRows;
  int row = turn * kRows;
  if (row < step.skip) row = step.skip;
  // As many as 32 registers hold with their sums from before; others keep them in memory anyway.
  constexpr int kAtOnce = Lanes::kTileGroups > 1 ? 4 : 1;
  if constexpr (kAtOnce > 1) {
    for (; row + kAtOnce <= last; row += kAtOnce) {
      fold_rows<kHalf, kMin, kDigit, kAtOnce>(work, step, row);
    }
  }
  for (; row < last; ++row) fold_rows<kHalf, kMin, kDigit, 1>(work, step, row);
}

// Tiles 0 to 3 are C, 4 and 5 A, 6 and 7 B.
template <typename Form, int kSide>
SLUICE_INLINE void multiply_group(const TileWeights& weights, const uint8_t* activations,
                                  int index) {
  constexpr int kB = 6 + kSide % 2;
  const uint8_t* a = activations + Form::kColumns * index;
  amx::Tiles::load<kB>(weights.group<Form::kColumns>(index), weights.stride());
  if constexpr (Form::kDigits == 1) {
    constexpr int kA = 4 + kSide % 2;
    amx::Tiles::load<kA>(a, Form::kRowBytes);
    amx::Tiles::dpbssd<kSide, kA, kB>();
  } else {
    amx::Tiles::load<4>(a, Form::kRowBytes);
    amx::Tiles::load<5>(a + kIntegerColumns, Form::kRowBytes);
    amx::Tiles::dpbssd<2 * kSide, 4, kB>();
    amx::Tiles::dpbssd<2 * kSide + 1, 5, kB>();
  }
}

template <typename Form>
SLUICE_INLINE void multiply_turn(const TileWeights& weights, const Step& step, int turn,
                                 TileSums<Form>& sums) {
  const int first = Form::kSides * turn, index = kStepGroups * step.part + first;
  multiply_group<Form, 0>(weights, step.activations, index);
  multiply_group<Form, 1>(weights, step.activations, index + 1);
  if constexpr (Form::kSides == 4) {
    multiply_group<Form, 2>(weights, step.activations, index + 2);
    multiply_group<Form, 3>(weights, step.activations, index + 3);
  }
  // [side][digit], as the tiles are numbered.
  int32_t(*to)[kStepRows][kGroupRows] = sums.sums[first];
  amx::Tiles::store<0>(to[0], kLine);
  amx::Tiles::store<1>(to[1], kLine);
  amx::Tiles::store<2>(to[2], kLine);
  amx::Tiles::store<3>(to[3], kLine);
}

template <typename Form>
amx::TileConfig tile_shapes(int rows) {
  amx::TileConfig config;
  for (int tile = 0; tile < amx::kTiles; ++tile) {
    const bool is_a = tile == 4 || tile == 5, is_b = tile > 5;
    config.rows[tile] = static_cast<uint8_t>(is_b ? Form::kColumns / 4 : rows);
    config.column_bytes[tile] = static_cast<uint16_t>(is_a ? Form::kColumns : kLine);
  }
  return config;
}

// Adds a run of units of one group to work.totals. Returns the buffer after.
template <bool kHalf, bool kMin, bool kDigit>
int multiply_tile_run(const ProductCall& call, const UnitRun& run, PanelDecoder decode,
                      TileWork<TileForm<kHalf, kDigit>>& work, int buffer) {
  using Form = TileForm<kHalf, kDigit>;
  const PackedView& weight = *call.weight;
  const UnitShape& shape = weight.unit;
  const uint8_t* unit =
      weight.units + (run.group * weight.units_per_group + run.from) * shape.bytes;
  const auto* activations =
      static_cast<const uint8_t*>(call.activations) + run.from * call.rows * Form::kRowBytes;
  const int tile_rows = static_cast<int>(call.rows < kStepRows ? call.rows : kStepRows);
  if (decode != nullptr) decode(unit + shape.code_offset, weight.table, work.panels[run.from % 2]);
  Step before;
  const FetchDistance next = panel_fetch(call);
  const StreamEnd end = stream_end(weight, run, run.group);
  for (int64_t u = run.from; u < run.to; ++u) {
    TileWeights weights{unit + shape.code_offset, true};
    const uint8_t* read = unit;  // from memory, at the time
    if (decode != nullptr) {
      weights = {work.panels[u % 2].lines[0], false};
      read += shape.bytes;
      if (u + 1 < run.to) {
        decode(unit + shape.bytes + shape.code_offset, weight.table, work.panels[(u + 1) % 2]);
      }
    }
    decode_scales<kDigit>(shape, unit, work.scales[u % 2]);
    for (int64_t row = 0; row < run.rows; row += kStepRows) {
      // All tiles of a call have one shape: the last reaches back to rows that are done.
      Step step;
      const int64_t start =
          run.first + row + tile_rows <= call.rows ? run.first + row : call.rows - tile_rows;
      step.activations = activations + start * Form::kRowBytes;
      step.scales = &work.scales[u % 2];
      step.rows = tile_rows;
      step.first_row = start - run.first;
      step.skip = static_cast<int>(run.first + row - start);
      for (step.part = 0; step.part < Form::kParts; ++step.part) {
        step.buffer = buffer;
        for (int turn = 0; turn < Form::kTurns; ++turn) {
          if (row == 0) {
            fetch_piece(next, shape, read, Form::kParts * Form::kTurns,
                        step.part * Form::kTurns + turn, end);
          }
          // In this order: the fold reads what the last turn overwrites.
          if (before.rows > 0) fold_turn<kHalf, kMin, kDigit>(work, before, turn);
          multiply_turn<Form>(weights, step, turn, work.sums[buffer]);
        }
        before = step;
        buffer = 1 - buffer;
      }
    }
    unit += shape.bytes;
    activations += call.rows * Form::kRowBytes;
  }
  for (int turn = 0; turn < Form::kTurns; ++turn) {
    fold_turn<kHalf, kMin, kDigit>(work, before, turn);
  }
  return buffer;
}

template <bool kHalf, bool kMin, bool kDigit>
void multiply_by_tiles(const ProductCall& call) {
  using Form = TileForm<kHalf, kDigit>;
  const PanelDecoder decode = panel_decoder(call.weight->unit.codes);
  TileWork<Form> work;
  work.scale_shift = scale_shift_of(call.weight->unit);
  const int rows = static_cast<int>(call.rows < kStepRows ? call.rows : kStepRows);
  amx::Tiles::config(tile_shapes<Form>(rows));
  // What stands in the tiles in front of the first step.
  __builtin_memset(&work.sums[1], 0, sizeof work.sums[1]);
  int buffer = 0;
  multiply_block<1>(
      call, Form::kRowBytes,
      [&](const UnitRun& run, float(*totals)[1][kGroupRows]) {
        work.totals = totals;
        buffer = multiply_tile_run<kHalf, kMin, kDigit>(call, run, decode, work, buffer);
      },
      kTileChunkBytes);
  amx::Tiles::release();
}

void run_tile_product(const ProductCall& call) {
  const bool half = call.weight->unit.scale_groups == 16;
  const bool min = call.weight->unit.mins != MinKind::kNone;
  if (call.digit) {
    if (half && min) return multiply_by_tiles<true, true, true>(call);
    if (half) return multiply_by_tiles<true, false, true>(call);
    if (min) return multiply_by_tiles<false, true, true>(call);
    return multiply_by_tiles<false, false, true>(call);
  }
  if (half && min) return multiply_by_tiles<true, true, false>(call);
  if (half) return multiply_by_tiles<true, false, false>(call);
  if (min) return multiply_by_tiles<false, true, false>(call);
  return multiply_by_tiles<false, false, false>(call);
}

}  // namespace
}  // namespace sluice::cpu
