// Little-endian loads and stores without alignment, for the stored planes and blocks.
#pragma once

#include <cstdint>
#include <cstring>

#include "codec/number_formats.h"

namespace sluice::codec {

static_assert(std::endian::native == std::endian::little, "stored numbers are little-endian");

inline uint16_t load_u16(const void* bytes) {
  uint16_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}
inline uint32_t load_u32(const void* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}
inline float load_f32(const void* bytes) { return std::bit_cast<float>(load_u32(bytes)); }
inline float load_f16(const void* bytes) { return f16_to_f32(load_u16(bytes)); }

inline void store_u16(void* bytes, uint16_t value) { std::memcpy(bytes, &value, sizeof value); }
inline void store_u32(void* bytes, uint32_t value) { std::memcpy(bytes, &value, sizeof value); }
inline void store_f32(void* bytes, float value) { std::memcpy(bytes, &value, sizeof value); }

}  // namespace sluice::codec
