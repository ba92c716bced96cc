// ggml's blocks of 32 weights: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 (spec/formats-gguf.md 4.2, 4.6).
//
// Block structs consist of bytes only: they have alignment 1 and may be laid over a mapped file.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::codec {

inline constexpr int kLegacyBlock = 32;  // weights per block

// Element j (0..15) is the low nibble of qs[j], element j + 16 the high one. Value d * (q - 8).
struct BlockQ4_0 {
  uint8_t d[2];  // F16
  uint8_t qs[16];
};

// Nibbles as Q4_0. Value d * q + m.
struct BlockQ4_1 {
  uint8_t d[2], m[2];  // F16
  uint8_t qs[16];
};

// Low four bits as Q4_0, bit i of qh (little-endian u32) is the fifth of element i. Value d * (q -
// 16).
struct BlockQ5_0 {
  uint8_t d[2];
  uint8_t qh[4];
  uint8_t qs[16];
};

// Codes as Q5_0. Value d * q + m.
struct BlockQ5_1 {
  uint8_t d[2], m[2];
  uint8_t qh[4];
  uint8_t qs[16];
};

// Value d * q.
struct BlockQ8_0 {
  uint8_t d[2];
  int8_t qs[32];
};

static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 1);
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 1);
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 1);
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 1);
static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 1);

// `count` blocks to 32 * count floats. Each step rounds to F32, without fused multiply-add.
void decode_q4_0(const BlockQ4_0* blocks, int64_t count, float* out);
void decode_q4_1(const BlockQ4_1* blocks, int64_t count, float* out);
void decode_q5_0(const BlockQ5_0* blocks, int64_t count, float* out);
void decode_q5_1(const BlockQ5_1* blocks, int64_t count, float* out);
void decode_q8_0(const BlockQ8_0* blocks, int64_t count, float* out);

}  // namespace sluice::codec
