// Sixteen rows of dwords to lines with a row per lane: the transposition that packing consists of.
//
// Vectors of 16 bytes by the compilers' extension (SSE2 on x86-64, NEON on Arm), so the packers are
// compiled for the baseline: from the caches these pack 10 to 24 GB/s on a thread, and fresh memory
// takes half of that (docs/decisions/loading.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "backend/cpu/product.h"

namespace sluice::cpu {

using Words = uint32_t __attribute__((vector_size(16)));
using Halves = uint16_t __attribute__((vector_size(16)));
using Bytes = uint8_t __attribute__((vector_size(16)));

template <typename Vector>
inline Vector load_vector(const uint8_t* from) {
  Vector value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename Vector>
inline void store_vector(Vector value, uint8_t* to) {
  std::memcpy(to, &value, sizeof value);
}

// Elements of a and b in turn: of their first halves, of their second halves.
inline Bytes zip_low(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
inline Bytes zip_high(Bytes a, Bytes b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                 31);
}
inline Halves zip_low(Halves a, Halves b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
inline Halves zip_high(Halves a, Halves b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
inline Words zip_low(Words a, Words b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
inline Words zip_high(Words a, Words b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }

// Four dwords of four rows, to their lanes in four lines.
inline void store_square(Words a, Words b, Words c, Words d, uint8_t* to, ptrdiff_t line) {
  const Words ac_low = zip_low(a, c), ac_high = zip_high(a, c);
  const Words bd_low = zip_low(b, d), bd_high = zip_high(b, d);
  store_vector(zip_low(ac_low, bd_low), to);
  store_vector(zip_high(ac_low, bd_low), to + line);
  store_vector(zip_low(ac_high, bd_high), to + 2 * line);
  store_vector(zip_high(ac_high, bd_high), to + 3 * line);
}

// Dwords: load(row, v) gives dwords 4v .. 4v + 3 of a row, v < vectors. Dword i of row r becomes
// lane r of line i * step behind `out`.
template <typename Load>
inline void transpose_dwords(int vectors, int step, uint8_t* out, const Load& load) {
  const auto line = static_cast<ptrdiff_t>(step) * kLine;
  for (int v = 0; v < vectors; ++v, out += 4 * line) {
    for (int quad = 0; quad < 4; ++quad) {
      store_square(load(4 * quad, v), load(4 * quad + 1, v), load(4 * quad + 2, v),
                   load(4 * quad + 3, v), out + 16 * quad, line);
    }
  }
}

// Eight dwords.
struct TwoWords {
  Words first, second;
};

// As transpose_dwords() with a step of 1, where dwords 8p .. 8p + 7 of a row come from the same
// bytes: load(row, p) gives them, p < pairs, so that each byte is loaded and taken apart once. The
// second four wait their turn: storing to eight lines at once took a third of the rate from memory
// and nothing in the caches (docs/decisions/loading.md).
template <typename Load>
inline void transpose_pairs(int pairs, uint8_t* out, const Load& load) {
  for (int p = 0; p < pairs; ++p) {
    Words second[kGroupRows];
    const auto first = [&](int row, int) {
      const TwoWords both = load(row, p);
      second[row] = both.second;
      return both.first;
    };
    transpose_dwords(1, 1, out + 8 * p * kLine, first);
    transpose_dwords(1, 1, out + (8 * p + 4) * kLine, [&](int row, int) { return second[row]; });
  }
}

// Zipping element i with element i + n/2 of n vectors, log2(n) times, transposes them.
template <typename Vector, int kVectors>
inline void transpose_square(Vector (&rows)[kVectors]) {
  for (int round = 1; round < kVectors; round *= 2) {
    Vector zipped[kVectors];
    for (int i = 0; i < kVectors / 2; ++i) {
      zipped[2 * i] = zip_low(rows[i], rows[i + kVectors / 2]);
      zipped[2 * i + 1] = zip_high(rows[i], rows[i + kVectors / 2]);
    }
    for (int i = 0; i < kVectors; ++i) rows[i] = zipped[i];
  }
}

// Halves: load(row, v) gives halves 8v .. 8v + 7 of a row; half i of row r to out[i][r].
template <typename Load>
inline void transpose_halves(int vectors, uint8_t* out, const Load& load) {
  for (int v = 0; v < vectors; ++v) {
    for (int side = 0; side < 2; ++side) {
      Halves rows[8];
      for (int i = 0; i < 8; ++i) rows[i] = load(8 * side + i, v);
      transpose_square(rows);
      for (int i = 0; i < 8; ++i) {
        store_vector(rows[i], out + (8 * v + i) * 2 * kGroupRows + 16 * side);
      }
    }
  }
}

// Bytes: kCount (at most 16) bytes of each row, first[r * stride + i], to columns[i], lane r.
template <int kCount>
inline void transpose_bytes(const uint8_t* first, size_t stride, Bytes (&columns)[16]) {
  for (int row = 0; row < kGroupRows; ++row, first += stride) {
    columns[row] = Bytes{};
    std::memcpy(&columns[row], first, kCount);
  }
  transpose_square(columns);
}

// Where bytes of granule g begin behind code_offset: every other line.
inline int granule_offset(int granule) { return (16 * (granule / 2) + granule % 2) * kLine; }

// Of two granules, a byte of either with two nibbles: the low ones side by side, the high ones.
inline Words join_low(Words a, Words b) { return (a & 0x0f0f0f0fu) | (b & 0x0f0f0f0fu) << 4; }
inline Words join_high(Words a, Words b) { return (a >> 4 & 0x0f0f0f0fu) | (b & 0xf0f0f0f0u); }

// Both: the high nibbles of a change places with the low ones of b.
inline TwoWords join_both(Words a, Words b) {
  const Words crossed = (a >> 4 ^ b) & 0x0f0f0f0fu;
  return {a ^ crossed << 4, b ^ crossed};
}

}  // namespace sluice::cpu
