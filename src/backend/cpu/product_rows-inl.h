// What the products of integer and float codes share: a block of rows by a run of groups, cut into
// chunks of columns and batches of groups; asking ahead; where results go. Inclusion and fencing as
// in integer_product-inl.h.
#pragma once

#include "backend/cpu/product.h"

namespace sluice::cpu {
namespace {

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

// Units [from, to) of groups [group, last), which are multiplied together with rows
// [first, first + rows).
struct UnitRun {
  int64_t group, last;
  int64_t from, to;
  int64_t first, rows;
  int64_t next_group, next_unit;  // where the run after this one begins
};

// Of group `group`, one of a run's.
SLUICE_INLINE StreamEnd stream_end(const PackedView& weight, const UnitRun& run, int64_t group) {
  const int64_t end = group * weight.units_per_group + run.to;
  const int64_t next =
      (run.next_group + group - run.group) * weight.units_per_group + run.next_unit;
  return {
      reinterpret_cast<uintptr_t>(weight.units) + static_cast<uintptr_t>(end * weight.unit.bytes),
      static_cast<uintptr_t>((next - end) * weight.unit.bytes)};
}

// Activations that stay in the second cache while so many groups are multiplied with them: a block
// of rows has more in all its columns, and would come from the third cache, or from memory where
// others use that, for every kGroups groups again.
constexpr int64_t kChunkBytes = 256 * 1024;       // Zen 3 has 512 KiB
constexpr int64_t kTileChunkBytes = 1024 * 1024;  // all with AMX have 2 MiB
constexpr int64_t kChunkGroups = 8;

// Row `row` of a block has its results there.
struct InOrder {
  int64_t operator()(int64_t row) const { return row; }
};

// The call's rows times its groups, kGroups together. activation_bytes: of a unit's columns of one
// row. multiply(run, float (*results)[kGroups][16]) adds a run of units to the results, of which
// row `row` of the block has number place(row).
template <int kGroups, typename Multiply, typename Place = InOrder>
SLUICE_INLINE void multiply_block(const ProductCall& call, int64_t activation_bytes,
                                  const Multiply& multiply, int64_t chunk_bytes = kChunkBytes,
                                  const Place& place = {}) {
  const int64_t units = call.weight->units_per_group;
  const int64_t first = call.first_row, rows = call.last_row - call.first_row;
  alignas(64) float results[kChunkGroups / kGroups][kRowBlock][kGroups][kGroupRows];
  const int64_t fitting = chunk_bytes / (rows * activation_bytes);
  const int64_t chunk = fitting < 1 ? 1 : fitting;
  const int64_t batch = chunk < units ? kChunkGroups : kGroups;
  for (int64_t begin = call.first_group; begin < call.last_group; begin += batch) {
    const int64_t end = begin + batch < call.last_group ? begin + batch : call.last_group;
    for (int64_t group = begin; group < end; group += kGroups) {
      for (int64_t row = 0; row <= place(rows - 1); ++row) {
        for (float(&lanes)[kGroupRows] : results[(group - begin) / kGroups][row])
          Lanes::store(lanes, Lanes::broadcast(0.0f));
      }
    }
    for (int64_t from = 0; from < units; from += chunk) {
      const int64_t to = from + chunk < units ? from + chunk : units;
      for (int64_t group = begin; group < end; group += kGroups) {
        UnitRun run{group, end, from, to, first, rows, group + kGroups, from};
        if (run.next_group >= end) {
          run.next_group = to < units ? begin : end;
          run.next_unit = to < units ? to : 0;
        }
        multiply(run, results[(group - begin) / kGroups]);
      }
    }
    for (int64_t group = begin; group < end; ++group) {
      const int64_t at = group - begin;
      for (int64_t row = 0; row < rows; ++row) {
        write_out(call, group, first + row,
                  Lanes::load(results[at / kGroups][place(row)][at % kGroups]));
      }
    }
  }
}

}  // namespace
}  // namespace sluice::cpu
