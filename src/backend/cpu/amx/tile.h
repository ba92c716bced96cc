// The tile unit as the kernels of this folder see it, in two bodies with one interface:
//
//   tile_native-inl.h  the instructions, as inline assembly
//   tile_twin-inl.h    the same in portable C++, with the faults of the hardware (tests)
//
// Both define a struct `Tiles` in an unnamed namespace:
//
//   config(const TileConfig&)   shapes of all tiles; all become zero
//   release()                   back to the state before config
//   zero<T>()
//   load<T>(base, stride)       rows x column bytes of T's shape, stride in bytes, the rest zero
//   store<T>(base, stride)      writes rows x column bytes and nothing else
//   dpbssd<C, A, B>()           C += A B in int32, modulo 2^32; A: rows of C x 4 K of B bytes;
//   dpbsud, dpbusd, dpbuud      B: a row holds 4 consecutive K of each column. s, u: bytes of A, B
//   dpbf16ps<C, A, B>()         C += A B in F32; A and B hold pairs of bf16 along K
//
// A kernel is included behind one of the two and cannot tell which it got. Own assembly because
// the compiler's tile intrinsics lack the memory clobbers (spec/cpu-kernels.md 9.1), and because it
// assembles without compiler flags.
#pragma once

#include <cstdint>

namespace sluice::cpu::amx {

inline constexpr int kTiles = 8;
inline constexpr int kTileRows = 16;
inline constexpr int kTileBytes = 64;  // of a row

// What LDTILECFG reads. A tile that is not used has neither rows nor columns.
struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t column_bytes[kTiles] = {};
  uint16_t reserved_column_bytes[8] = {};
  uint8_t rows[kTiles] = {};
  uint8_t reserved_rows[8] = {};
};

static_assert(sizeof(TileConfig) == 64);

template <int kTile>
constexpr bool is_tile() {
  return kTile >= 0 && kTile < kTiles;
}

// The three tiles of a product must differ.
template <int kC, int kA, int kB>
constexpr bool are_operands() {
  return is_tile<kC>() && is_tile<kA>() && is_tile<kB>() && kC != kA && kA != kB && kC != kB;
}

}  // namespace sluice::cpu::amx
