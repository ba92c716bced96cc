// compressed-tensors integers of 2 to 8 bits, packed or one a byte, with or without zero points
// (spec/formats-safetensors.md 3.6a).
//
// Layout: `int-quantized` codes I8 [N, K]. `pack-quantized` codes I32 [N, ceil(K*b/32)]: element i
// of a row is the b bits at bit i*b of the row's little-endian bit string, which hold code +
// 2^(b-1); for b = 3, 5, 6, 7 codes cross words. Scales [N, K/g], [N, 1] or one, multiplied. Zero
// points (packed only) I32 [ceil(N*b/32), groups], packed the same way but down the rows. Value (q
// - z) * s, one rounding.
#pragma once

#include <cstdint>

#include "tensor/matrix.h"

namespace sluice::codec {

inline constexpr int kMinIntegerBits = 2, kMaxIntegerBits = 8;

// I32 words that hold `count` codes of `bits` bits.
inline int64_t packed_words(int64_t count, int bits) { return (count * bits + 31) / 32; }

// The codes of one row, signed (-2^(b-1) .. 2^(b-1) - 1): packed bits to one code a byte. `words`
// is the row's bit string of packed_words(count, bits) little-endian words.
void unpack_integer_row(const uint8_t* words, int64_t count, int bits, int8_t* codes);
void pack_integer_row(const int8_t* codes, int64_t count, int bits, uint8_t* words);

// Zero point of a row and group of a checked matrix that has them.
int integer_zero_point(const EncodedMatrix& matrix, int64_t row, int64_t group);

// Rows [first, first + count) of a checked matrix.
void decode_integer_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out);

}  // namespace sluice::codec
