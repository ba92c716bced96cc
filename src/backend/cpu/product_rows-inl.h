// What the products of integer and float codes share: how many rows are split, and where results
// go. Inclusion and fencing as in integer_product-inl.h.
#pragma once

#include "backend/cpu/product.h"

namespace sluice::cpu {
namespace {

// Rows that keep their results in memory between units: of 128 x 16 floats, 8 KiB of stack a group.
constexpr int64_t kBlockRows = 128;

// Piece `index` of `count` as equal pieces of `total`: where it begins.
int64_t piece_begin(int64_t total, int64_t count, int64_t index) { return total * index / count; }

// Asks for as many lines as are read meanwhile, `fetch` ahead of them: a share of a unit each time,
// because a burst of a whole unit's lines fills the queue of misses. Addresses may lie behind the
// matrix, where asking does nothing.
// Counted in lines: the loop that GCC 12 made of a count in bytes cost Q8_0 with 8 rows 15 % on
// Zen 5.
SLUICE_INLINE void fetch_ahead(const FetchDistance& fetch, const uint8_t* from, int64_t lines,
                               const StreamEnd& end = {}) {
  const auto ahead = [&](int32_t distance) {
    const uintptr_t at = reinterpret_cast<uintptr_t>(from) + static_cast<uintptr_t>(distance);
    return reinterpret_cast<const uint8_t*>(at < end.at ? at : at + end.skip);
  };
  if (fetch.far != 0) {
    const uint8_t* const at = ahead(fetch.far);
    for (int64_t line = 0; line < lines; ++line) __builtin_prefetch(at + kLine * line, 0, 2);
  }
  if (fetch.near != 0) {
    const uint8_t* const at = ahead(fetch.near);
    for (int64_t line = 0; line < lines; ++line) __builtin_prefetch(at + kLine * line, 0, 3);
  }
}

// Of group `group`, one of `tile_groups` that are multiplied together.
SLUICE_INLINE StreamEnd stream_end(const PackedView& weight, int64_t group, int64_t tile_groups) {
  const int64_t bytes = weight.units_per_group * weight.unit.bytes;
  return {reinterpret_cast<uintptr_t>(weight.units) + static_cast<uintptr_t>((group + 1) * bytes),
          static_cast<uintptr_t>((tile_groups - 1) * bytes)};
}

// Null for none, so that kernels ask once a quarter of a unit.
SLUICE_INLINE const FetchDistance* fetch_of(const ProductCall& call) {
  return call.fetch.far == 0 && call.fetch.near == 0 ? nullptr : &call.fetch;
}

// Of panels, which are made of a whole unit at once: the next unit is asked for while this one is
// multiplied, or what comes as much later as was measured for tiles that read memory.
SLUICE_INLINE FetchDistance panel_fetch(const ProductCall& call) {
  const auto bytes = static_cast<int32_t>(call.weight->unit.bytes);
  return {call.fetch.far, bytes > call.fetch.near ? bytes : call.fetch.near};
}

// Piece `piece` of `pieces` equal ones of what comes so much after the unit at `unit`.
SLUICE_INLINE void fetch_piece(const FetchDistance& fetch, const UnitShape& shape,
                               const uint8_t* unit, int64_t pieces, int64_t piece,
                               const StreamEnd& end = {}) {
  const int64_t lines = shape.bytes / kLine, first = piece_begin(lines, pieces, piece);
  fetch_ahead(fetch, unit + kLine * first, piece_begin(lines, pieces, piece + 1) - first, end);
}

// An equal part of a unit.
constexpr int64_t part_lines(const UnitShape& shape, int64_t parts) {
  return (shape.bytes + parts * kLine - 1) / (parts * kLine);
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

}  // namespace
}  // namespace sluice::cpu
