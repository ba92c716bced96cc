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

// Lines [begin, end) of a unit into the first cache, for panels: the hardware's own prefetching
// stops while tiles are multiplied. Without a panel it does not, and prefetching lost a tenth.
SLUICE_INLINE void prefetch(const uint8_t* unit, int64_t begin, int64_t end) {
  for (int64_t line = begin; line < end; ++line) __builtin_prefetch(unit + kLine * line);
}

// Asks for as many bytes as are read meanwhile, `fetch` ahead of them: a share of a unit each time,
// because a burst of a whole unit's lines fills the queue of misses. Addresses may lie behind the
// matrix, where asking does nothing.
SLUICE_INLINE void fetch_ahead(const FetchDistance& fetch, const uint8_t* from, int64_t bytes) {
  const auto at = reinterpret_cast<uintptr_t>(from);
  if (fetch.far != 0) {
    for (int64_t i = 0; i < bytes; i += kLine) {
      __builtin_prefetch(reinterpret_cast<const void*>(at + static_cast<uintptr_t>(fetch.far + i)),
                         0, 2);
    }
  }
  if (fetch.near != 0) {
    for (int64_t i = 0; i < bytes; i += kLine) {
      __builtin_prefetch(reinterpret_cast<const void*>(at + static_cast<uintptr_t>(fetch.near + i)),
                         0, 3);
    }
  }
}

// Null for none, so that kernels ask once a quarter of a unit.
SLUICE_INLINE const FetchDistance* fetch_of(const ProductCall& call) {
  return call.fetch.far == 0 && call.fetch.near == 0 ? nullptr : &call.fetch;
}

// The part of a unit that belongs to a quarter of its columns, in whole lines.
constexpr int64_t quarter_bytes(const UnitShape& shape) {
  return (shape.bytes + 4 * kLine - 1) / (4 * kLine) * kLine;
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
