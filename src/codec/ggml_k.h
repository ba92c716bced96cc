// ggml's K-quants, super-blocks of 256 weights: Q2_K, Q3_K, Q4_K, Q5_K, Q6_K
// (spec/formats-gguf.md 4.3 to 4.6).
//
// Block structs consist of bytes only: they have alignment 1 and may be laid over a mapped file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::codec {

inline constexpr int kSuperBlock = 256;  // weights per block

// Element i: h = i/128, t = (i mod 128)/32, l = i mod 32; code = bits 2t, 2t+1 of qs[32h + l].
// scales[i/16]: low nibble scale, high nibble min. Value (d*sc)*q - dmin*m.
struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t qs[64];
  uint8_t d[2], dmin[2];  // F16
};

// Low two bits as Q2_K; bit i/32 of hmask[i mod 32] is the third. q = low + 4*high - 4; value
// (d*(sc-32))*q, sc as unpack_q3_k_scales gives it, one per 16 elements.
struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint8_t d[2];
};

// Chunk c of 64 elements: low nibbles of qs[32c .. 32c+31], then their high nibbles. Scales and
// mins, one per 32 elements, as unpack_k4_scales gives them. Value (d*sc)*q - dmin*m.
struct BlockQ4_K {
  uint8_t d[2], dmin[2];
  uint8_t scales[12];
  uint8_t qs[128];
};

// As Q4_K, with bit i/32 of qh[i mod 32] as the fifth bit of element i.
struct BlockQ5_K {
  uint8_t d[2], dmin[2];
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

// Element i: h = i/128, t = (i mod 128)/32, l = i mod 32; low nibble in ql[64h + 32(t mod 2) + l]
// (its low half for t < 2), high bits 2t, 2t+1 of qh[32h + l]. q = low + 16*high - 32; value
// (d*scales[i/16])*q.
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint8_t d[2];
};

static_assert(sizeof(BlockQ2_K) == 84 && alignof(BlockQ2_K) == 1);
static_assert(sizeof(BlockQ3_K) == 110 && alignof(BlockQ3_K) == 1);
static_assert(sizeof(BlockQ4_K) == 144 && alignof(BlockQ4_K) == 1);
static_assert(sizeof(BlockQ5_K) == 176 && alignof(BlockQ5_K) == 1);
static_assert(sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 1);

// The 6-bit scales and mins of Q4_K and Q5_K, packed in 12 bytes (formats-gguf.md 4.3).
void unpack_k4_scales(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]);
void pack_k4_scales(const uint8_t scales[8], const uint8_t mins[8], uint8_t packed[12]);

// The sixteen 6-bit scales of Q3_K, with their offset of 32 still in them.
void unpack_q3_k_scales(const uint8_t packed[12], uint8_t scales[16]);
void pack_q3_k_scales(const uint8_t scales[16], uint8_t packed[12]);

// `count` blocks to 256 * count floats: the product of the two scales, times the code, minus the
// product of the two minimum factors, each step rounded to F32, without fused multiply-add.
void decode_q2_k(const BlockQ2_K* blocks, int64_t count, float* out);
void decode_q3_k(const BlockQ3_K* blocks, int64_t count, float* out);
void decode_q4_k(const BlockQ4_K* blocks, int64_t count, float* out);
void decode_q5_k(const BlockQ5_K* blocks, int64_t count, float* out);
void decode_q6_k(const BlockQ6_K* blocks, int64_t count, float* out);

}  // namespace sluice::codec
