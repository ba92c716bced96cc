// E4M3 four values at a time (codec/lanes.h), and in loops that compilers make vectors of: the same
// codes and values as codec/number_formats.h gives one by one.
#pragma once

#include <bit>
#include <cstdint>

#include "codec/lanes.h"
#include "codec/number_formats.h"

namespace sluice::codec {

// The values of the nearest codes of magnitudes, without a table: adding and subtracting a power of
// two rounds to the step of the value's binade. Magnitudes beyond 448 saturate.
inline Lanes nearest_e4m3(Lanes magnitude) {
  const Lanes most = all_lanes(kE4m3Max), least_normal = all_lanes(0x1p-6f);
  const Lanes limited = magnitude < most ? magnitude : most;
  const Lanes binade = limited > least_normal ? limited : least_normal;
  // 2^20 times the binade.
  const Lanes shift = (Lanes)(((LaneBits)binade & 0x7F800000) + (20 << 23));
  return (limited + shift) - shift;
}

// Codes and values of numbers that are not NaN, as f32_to_e4m3 and its table give them.
struct E4m3Lanes {
  LaneBits codes;
  Lanes values;
};
inline E4m3Lanes encode_e4m3(Lanes number) {
  const LaneBits sign = (LaneBits)number & static_cast<int32_t>(0x80000000u);
  const Lanes nearest = nearest_e4m3(magnitudes(number));
  const LaneBits bits = (LaneBits)nearest;
  // An E4M3 value as F32 has its code in the upper bits, exponent bias 127 instead of 7; below the
  // least normal one the code counts steps of 2^-9.
  const LaneBits normal = (bits - (120 << 23)) >> 20;
  const LaneBits subnormal = __builtin_convertvector(nearest * 512.0f, LaneBits);
  const LaneBits code = nearest < 0x1p-6f ? subnormal : normal;
  return {code | ((sign >> 24) & 0x80), (Lanes)(bits | sign)};
}

// kE4m3Values[code] by arithmetic, with `nan` for the two codes that have no value. A table would
// keep a loop from becoming vectors, and so would choices: hence masks.
inline float e4m3_to_f32(uint8_t code, float nan) {
  const uint32_t magnitude = code & 0x7Fu;
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24;
  const uint32_t normal = (magnitude << 20) + (120u << 23);  // exponent bias 7 -> 127
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-9f);
  const uint32_t small = -static_cast<uint32_t>(magnitude < 8);
  const uint32_t none = -static_cast<uint32_t>(magnitude == 0x7F);
  const uint32_t finite = sign | (subnormal & small) | (normal & ~small);
  return std::bit_cast<float>((finite & ~none) | (std::bit_cast<uint32_t>(nan) & none));
}

}  // namespace sluice::codec
