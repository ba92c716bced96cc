// Products of BF16 and E4M3 codes by bf16 tiles, for rows read as prompt.
//
// Included behind a lanes-inl.h, float_product-inl.h and one of the bodies of `Tiles` (tile.h).
//
// One bf16 per activation would lose more than `wide` promises, so an activation goes in as two,
// high + low, which leaves 2^-17 of it. The codes are bf16 exactly. The arithmetic of a row, the
// same for any number of rows: per 32 columns, ascending, C += high codes, then C += low codes, as
// the tile unit sums (tile_twin.h). Where units have a scale, C starts at zero in each and
// y += C * scale; else C runs through all of them.
#pragma once

#include "backend/cpu/product.h"

namespace sluice::cpu {
namespace {

constexpr int kPairTiles = 4;  // C tiles at once: one alone waits for its own latency
constexpr int kPairBlockTiles = kRowBlock / amx::kTileRows;
constexpr int kPairStepColumns = 32;  // K of a tile product
constexpr int64_t kPairRowBytes = sizeof(PairUnit);

using TileOfFloats = float[amx::kTileRows][kGroupRows];

struct alignas(64) PairWork {
  int rows;  // of a tile: those of the call, up to 16
  TileOfFloats sums[kPairTiles];
  TileOfFloats zeros;
  uint8_t panel[kFloatColumns / 2][kLine];  // pairs of columns, as BF16 codes lie in a unit
};

// Two columns of floats that are bf16 values, the even one in the lower half of each dword.
SLUICE_INLINE void store_pairs(uint8_t* line, const Floats& even, const Floats& odd) {
  uint32_t low __attribute__((vector_size(kLine))), high __attribute__((vector_size(kLine)));
  __builtin_memcpy(&low, &even, sizeof low);
  __builtin_memcpy(&high, &odd, sizeof high);
  low = low >> 16 | (high & 0xffff0000u);
  __builtin_memcpy(line, &low, sizeof low);
}

// Exact, codes below the normal range of E4M3 included: tiles would take the bf16 denormals that a
// shift alone makes of them as zero.
void decode_pair_panel(const uint8_t* codes, PairWork& work) {
  const Floats factor = Lanes::broadcast(0x1p120f), zero = Lanes::broadcast(0.0f);
  for (int quad = 0; quad < kFloatColumns / 4; ++quad) {
    Floats columns[4];
    Lanes::from_e4m3_line(codes + kLine * quad, columns);
    SLUICE_UNROLL
    for (int i = 0; i < 4; ++i) columns[i] = Lanes::fma(columns[i], factor, zero);
    store_pairs(work.panel[2 * quad], columns[0], columns[1]);
    store_pairs(work.panel[2 * quad + 1], columns[2], columns[3]);
  }
}

// The tiles kTile .. kCount - 1 of each of these. Tiles 0 to 3 are C, 4 and 5 A, 6 B.
template <int kTile, int kCount>
SLUICE_INLINE void load_pair_sums(const TileOfFloats* from, int64_t tile_stride) {
  amx::Tiles::load<kTile>(from[tile_stride * kTile], kLine);
  if constexpr (kTile + 1 < kCount) load_pair_sums<kTile + 1, kCount>(from, tile_stride);
}

template <int kTile, int kCount>
SLUICE_INLINE void store_pair_sums(TileOfFloats* to) {
  amx::Tiles::store<kTile>(to[kTile], kLine);
  if constexpr (kTile + 1 < kCount) store_pair_sums<kTile + 1, kCount>(to);
}

template <int kTile, int kCount>
SLUICE_INLINE void multiply_pair_tiles(const uint8_t* activations, const int64_t* first_rows) {
  constexpr int kA = 4 + kTile % 2;
  amx::Tiles::load<kA>(activations + kPairRowBytes * first_rows[kTile], kPairRowBytes);
  amx::Tiles::dpbf16ps<kTile, kA, 6>();
  if constexpr (kTile + 1 < kCount) {
    multiply_pair_tiles<kTile + 1, kCount>(activations, first_rows);
  }
}

// One unit times kCount tiles of rows, whose first rows are given.
template <int kCount>
void multiply_pairs(const uint8_t* lines, const uint8_t* activations, const int64_t* first_rows,
                    const float* scale, PairWork& work, TileOfFloats* totals) {
  if (scale == nullptr) {
    load_pair_sums<0, kCount>(totals, 1);
  } else {
    load_pair_sums<0, kCount>(&work.zeros, 0);
  }
  for (int step = 0; step < kFloatColumns / kPairStepColumns; ++step) {
    const int column = kPairStepColumns * step;
    amx::Tiles::load<6>(lines + kLine * (column / 2), kLine);
    multiply_pair_tiles<0, kCount>(activations + offsetof(PairUnit, high) + 2 * column, first_rows);
    multiply_pair_tiles<0, kCount>(activations + offsetof(PairUnit, low) + 2 * column, first_rows);
  }
  if (scale == nullptr) return store_pair_sums<0, kCount>(totals);
  store_pair_sums<0, kCount>(work.sums);
  const Floats factor = Lanes::broadcast(*scale);
  for (int tile = 0; tile < kCount; ++tile) {
    for (int row = 0; row < work.rows; ++row) {
      Lanes::store(totals[tile][row], Lanes::fma(Lanes::load(work.sums[tile][row]), factor,
                                                 Lanes::load(totals[tile][row])));
    }
  }
}

void multiply_pairs_any(int count, const uint8_t* lines, const uint8_t* activations,
                        const int64_t* first_rows, const float* scale, PairWork& work,
                        TileOfFloats* totals) {
  if (count == 1) return multiply_pairs<1>(lines, activations, first_rows, scale, work, totals);
  if (count == 2) return multiply_pairs<2>(lines, activations, first_rows, scale, work, totals);
  if (count == 3) return multiply_pairs<3>(lines, activations, first_rows, scale, work, totals);
  multiply_pairs<4>(lines, activations, first_rows, scale, work, totals);
}

// The tiles of a block of rows. All of a call have one shape: the last reaches back to rows that
// another one has too.
struct PairTiles {
  int64_t first_rows[kPairBlockTiles];
  int count = 0;
};

// Adds a run of units of one group to the totals of the tiles.
void multiply_pair_run(const ProductCall& call, const UnitRun& run, const PairTiles& tiles,
                       PairWork& work, TileOfFloats* totals) {
  const PackedView& weight = *call.weight;
  const bool decoded = weight.unit.codes == CodeKind::kE4M3;
  const uint8_t* unit =
      weight.units + (run.group * weight.units_per_group + run.from) * weight.unit.bytes;
  const auto* activations =
      static_cast<const uint8_t*>(call.activations) + run.from * call.rows * kPairRowBytes;
  const FetchDistance next = panel_fetch(call);
  const StreamEnd end = stream_end(weight, run, run.group);
  for (int64_t u = run.from; u < run.to; ++u) {
    const uint8_t* lines = unit + weight.unit.code_offset;
    if (decoded) {
      decode_pair_panel(lines, work);
      lines = work.panel[0];
    }
    const float* scale = scales_of(weight, run.group, u, unit).tile;
    for (int tile = 0; tile < tiles.count; tile += kPairTiles) {
      fetch_piece(next, weight.unit, unit, (tiles.count + kPairTiles - 1) / kPairTiles,
                  tile / kPairTiles, end);
      multiply_pairs_any(tiles.count - tile, lines, activations, tiles.first_rows + tile, scale,
                         work, totals + tile);
    }
    unit += weight.unit.bytes;
    activations += call.rows * kPairRowBytes;
  }
}

void run_pair_product(const ProductCall& call) {
  const int rows = static_cast<int>(call.rows < amx::kTileRows ? call.rows : amx::kTileRows);
  amx::TileConfig config;
  for (int tile = 0; tile < 7; ++tile) {
    config.rows[tile] = static_cast<uint8_t>(tile == 6 ? amx::kTileRows : rows);
    config.column_bytes[tile] = kLine;
  }
  amx::Tiles::config(config);
  PairWork work;
  __builtin_memset(work.zeros, 0, sizeof work.zeros);
  work.rows = rows;
  PairTiles tiles;
  for (int64_t row = call.first_row; row < call.last_row; row += amx::kTileRows) {
    tiles.first_rows[tiles.count++] = row + rows <= call.rows ? row : call.rows - rows;
  }
  multiply_block<1>(
      call, kPairRowBytes,
      [&](const UnitRun& run, float(*results)[1][kGroupRows]) {
        multiply_pair_run(call, run, tiles, work, reinterpret_cast<TileOfFloats*>(results));
      },
      kTileChunkBytes,
      [&](int64_t row) {
        const int64_t tile = row / amx::kTileRows;
        return tile * amx::kTileRows + call.first_row + row - tiles.first_rows[tile];
      });
  amx::Tiles::release();
}

}  // namespace
}  // namespace sluice::cpu
