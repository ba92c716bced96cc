// Four floats side by side, by the compilers' vector extension: SSE2 on x86-64, NEON on Arm, so
// that the codec needs no wider instructions than the program's own. For encoders that do the same
// to independent blocks: a block per lane keeps each block's order of operations, and so its bits.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice::codec {

using Lanes = float __attribute__((vector_size(16)));
using LaneBits = int32_t __attribute__((vector_size(16)));  // integers, or masks of 0 and -1
inline constexpr size_t kLanes = 4;

inline Lanes all_lanes(float value) { return Lanes{value, value, value, value}; }

inline Lanes load_lanes(const float* from) {
  Lanes value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline Lanes magnitudes(Lanes value) { return (Lanes)((LaneBits)value & 0x7FFFFFFF); }

inline Lanes square_roots(Lanes value) {
  for (size_t lane = 0; lane < kLanes; ++lane) value[lane] = std::sqrt(value[lane]);
  return value;
}

// round_to_int(value, least, most) as floats, for whole bounds within 2^22: cutting first and
// rounding then gives the same. NaN gives `most`, as there.
inline Lanes nearest_within(Lanes value, Lanes least, Lanes most) {
  value = value < most ? value : most;
  value = value > least ? value : least;
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23: the addition rounds
  return (value + kShift) - kShift;
}

// Whole numbers of 0 .. 255 (or -128 .. 127, as bytes), lane after lane, `stride` bytes apart.
inline void store_codes(Lanes values, uint8_t* out, size_t stride) {
  const LaneBits codes = __builtin_convertvector(values, LaneBits);
  for (size_t lane = 0; lane < kLanes; ++lane)
    out[lane * stride] = static_cast<uint8_t>(codes[lane]);
}

// Four columns of four rows: out[4 * column + row].
inline void transpose(const std::array<Lanes, kLanes>& rows, float* out) {
  const Lanes low = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5),
              low2 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5),
              high = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7),
              high2 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
  const std::array<Lanes, kLanes> columns = {__builtin_shufflevector(low, low2, 0, 1, 4, 5),
                                             __builtin_shufflevector(low, low2, 2, 3, 6, 7),
                                             __builtin_shufflevector(high, high2, 0, 1, 4, 5),
                                             __builtin_shufflevector(high, high2, 2, 3, 6, 7)};
  std::memcpy(out, columns.data(), sizeof columns);
}

}  // namespace sluice::codec
