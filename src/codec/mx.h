// MXFP4 and MXFP8 matrices of safetensors checkpoints
// (spec/formats-safetensors.md 3.6, 3.10, 3.11). ggml's MXFP4 has another nibble order:
// codec/ggml_fp4.h.
//
// Layout: MXFP4 codes [N, K/2] bytes, low nibble = even column; MXFP8 codes F8_E4M3 [N, K]. Scales
// [N, K/32] E8M0 exponents (dtype U8 or F8_E8M0). No tensor scale.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/matrix.h"

namespace sluice::codec {

inline constexpr int64_t kMxGroup = 32;

// Rows [first, first + count) of a checked matrix: value(code) * 2^(e - 127).
void decode_mxfp4_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out);
void decode_mxfp8_rows(const EncodedMatrix& matrix, int64_t first, int64_t count,
                       const std::array<float, 256>& values, float* out);

}  // namespace sluice::codec
