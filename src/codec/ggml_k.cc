#include "codec/ggml_k.h"

#include "codec/bytes.h"

namespace sluice::codec {

void unpack_k4_scales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]) {
  for (int s = 0; s < 4; ++s) {
    scales[s] = packed[s] & 63;
    mins[s] = packed[s + 4] & 63;
    scales[s + 4] = static_cast<uint8_t>((packed[s + 8] & 15) | ((packed[s] >> 6) << 4));
    mins[s + 4] = static_cast<uint8_t>((packed[s + 8] >> 4) | ((packed[s + 4] >> 6) << 4));
  }
}

void pack_k4_scales(const uint8_t scales[8], const uint8_t mins[8], uint8_t packed[12]) {
  for (int s = 0; s < 4; ++s) {
    packed[s] = static_cast<uint8_t>((scales[s] & 63) | ((scales[s + 4] >> 4) << 6));
    packed[s + 4] = static_cast<uint8_t>((mins[s] & 63) | ((mins[s + 4] >> 4) << 6));
    packed[s + 8] = static_cast<uint8_t>((scales[s + 4] & 15) | ((mins[s + 4] & 15) << 4));
  }
}

void unpack_q3_k_scales(const uint8_t packed[12], uint8_t scales[16]) {
  for (int k = 0; k < 16; ++k) {
    const int low = k < 8 ? packed[k] & 15 : packed[k - 8] >> 4;
    const int high = (packed[8 + k % 4] >> (2 * (k / 4))) & 3;
    scales[k] = static_cast<uint8_t>(low | (high << 4));
  }
}

void pack_q3_k_scales(const uint8_t scales[16], uint8_t packed[12]) {
  for (int b = 0; b < 8; ++b) {
    packed[b] = static_cast<uint8_t>((scales[b] & 15) | ((scales[b + 8] & 15) << 4));
  }
  for (int b = 0; b < 4; ++b) {
    int high = 0;
    for (int group = 0; group < 4; ++group) high |= (scales[4 * group + b] >> 4) << (2 * group);
    packed[8 + b] = static_cast<uint8_t>(high);
  }
}

void decode_q2_k(const BlockQ2_K* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b) {
    const BlockQ2_K& block = blocks[b];
    const float d = load_f16(block.d), dmin = load_f16(block.dmin);
    for (int sub = 0; sub < 16; ++sub, out += 16) {
      const float scale = d * static_cast<float>(block.scales[sub] & 15);
      const float minimum = dmin * static_cast<float>(block.scales[sub] >> 4);
      const uint8_t* qs = block.qs + 32 * (sub / 8) + 16 * (sub % 2);
      const int shift = 2 * ((sub % 8) / 2);
      for (int l = 0; l < 16; ++l) {
        out[l] = scale * static_cast<float>((qs[l] >> shift) & 3) - minimum;
      }
    }
  }
}

void decode_q3_k(const BlockQ3_K* blocks, int64_t count, float* out) {
  uint8_t scales[16];
  for (int64_t b = 0; b < count; ++b) {
    const BlockQ3_K& block = blocks[b];
    const float d = load_f16(block.d);
    unpack_q3_k_scales(block.scales, scales);
    for (int sub = 0; sub < 16; ++sub, out += 16) {
      const float scale = d * static_cast<float>(scales[sub] - 32);
      const uint8_t* qs = block.qs + 32 * (sub / 8) + 16 * (sub % 2);
      const uint8_t* high = block.hmask + 16 * (sub % 2);
      const int shift = 2 * ((sub % 8) / 2), high_bit = sub / 2;
      for (int l = 0; l < 16; ++l) {
        const int code = ((qs[l] >> shift) & 3) + 4 * ((high[l] >> high_bit) & 1) - 4;
        out[l] = scale * static_cast<float>(code);
      }
    }
  }
}

void decode_q4_k(const BlockQ4_K* blocks, int64_t count, float* out) {
  uint8_t scales[8], mins[8];
  for (int64_t b = 0; b < count; ++b) {
    const BlockQ4_K& block = blocks[b];
    const float d = load_f16(block.d), dmin = load_f16(block.dmin);
    unpack_k4_scales(block.scales, scales, mins);
    for (int sub = 0; sub < 8; ++sub, out += 32) {
      const float scale = d * static_cast<float>(scales[sub]);
      const float minimum = dmin * static_cast<float>(mins[sub]);
      const uint8_t* qs = block.qs + 32 * (sub / 2);
      const int shift = 4 * (sub % 2);
      for (int l = 0; l < 32; ++l) {
        out[l] = scale * static_cast<float>((qs[l] >> shift) & 15) - minimum;
      }
    }
  }
}

void decode_q5_k(const BlockQ5_K* blocks, int64_t count, float* out) {
  uint8_t scales[8], mins[8];
  for (int64_t b = 0; b < count; ++b) {
    const BlockQ5_K& block = blocks[b];
    const float d = load_f16(block.d), dmin = load_f16(block.dmin);
    unpack_k4_scales(block.scales, scales, mins);
    for (int sub = 0; sub < 8; ++sub, out += 32) {
      const float scale = d * static_cast<float>(scales[sub]);
      const float minimum = dmin * static_cast<float>(mins[sub]);
      const uint8_t* qs = block.qs + 32 * (sub / 2);
      const int shift = 4 * (sub % 2);
      for (int l = 0; l < 32; ++l) {
        const int code = ((qs[l] >> shift) & 15) + 16 * ((block.qh[l] >> sub) & 1);
        out[l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

void decode_q6_k(const BlockQ6_K* blocks, int64_t count, float* out) {
  for (int64_t b = 0; b < count; ++b) {
    const BlockQ6_K& block = blocks[b];
    const float d = load_f16(block.d);
    for (int sub = 0; sub < 16; ++sub, out += 16) {
      const float scale = d * static_cast<float>(block.scales[sub]);
      const int half = sub / 8, t = (sub % 8) / 2;
      const uint8_t* ql = block.ql + 64 * half + 32 * (t % 2) + 16 * (sub % 2);
      const uint8_t* qh = block.qh + 32 * half + 16 * (sub % 2);
      const int low_shift = 4 * (t / 2), high_shift = 2 * t;
      for (int l = 0; l < 16; ++l) {
        const int code = ((ql[l] >> low_shift) & 15) + 16 * ((qh[l] >> high_shift) & 3) - 32;
        out[l] = scale * static_cast<float>(code);
      }
    }
  }
}

}  // namespace sluice::codec
