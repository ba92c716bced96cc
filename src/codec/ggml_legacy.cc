#include "codec/ggml_legacy.h"

#include "codec/bytes.h"

namespace sluice::codec {

void decode_q4_0(const BlockQ4_0* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b, out += kLegacyBlock) {
    const float d = load_f16(blocks[b].d);
    for (int j = 0; j < 16; ++j) {
      const int byte = blocks[b].qs[j];
      out[j] = d * static_cast<float>((byte & 15) - 8);
      out[j + 16] = d * static_cast<float>((byte >> 4) - 8);
    }
  }
}

void decode_q4_1(const BlockQ4_1* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b, out += kLegacyBlock) {
    const float d = load_f16(blocks[b].d), m = load_f16(blocks[b].m);
    for (int j = 0; j < 16; ++j) {
      const int byte = blocks[b].qs[j];
      out[j] = d * static_cast<float>(byte & 15) + m;
      out[j + 16] = d * static_cast<float>(byte >> 4) + m;
    }
  }
}

void decode_q5_0(const BlockQ5_0* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b, out += kLegacyBlock) {
    const float d = load_f16(blocks[b].d);
    const uint32_t fifth = load_u32(blocks[b].qh);
    for (int j = 0; j < 16; ++j) {
      const int byte = blocks[b].qs[j];
      const int low = (byte & 15) | static_cast<int>(((fifth >> j) & 1u) << 4);
      const int high = (byte >> 4) | static_cast<int>(((fifth >> (j + 16)) & 1u) << 4);
      out[j] = d * static_cast<float>(low - 16);
      out[j + 16] = d * static_cast<float>(high - 16);
    }
  }
}

void decode_q5_1(const BlockQ5_1* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b, out += kLegacyBlock) {
    const float d = load_f16(blocks[b].d), m = load_f16(blocks[b].m);
    const uint32_t fifth = load_u32(blocks[b].qh);
    for (int j = 0; j < 16; ++j) {
      const int byte = blocks[b].qs[j];
      const int low = (byte & 15) | static_cast<int>(((fifth >> j) & 1u) << 4);
      const int high = (byte >> 4) | static_cast<int>(((fifth >> (j + 16)) & 1u) << 4);
      out[j] = d * static_cast<float>(low) + m;
      out[j + 16] = d * static_cast<float>(high) + m;
    }
  }
}

void decode_q8_0(const BlockQ8_0* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b, out += kLegacyBlock) {
    const float d = load_f16(blocks[b].d);
    for (int j = 0; j < kLegacyBlock; ++j) out[j] = d * static_cast<float>(blocks[b].qs[j]);
  }
}

}  // namespace sluice::codec
