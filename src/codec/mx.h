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

// How the exponent of a group follows from its largest magnitude (spec/quantization-algorithms.md
// section 4).
enum class MxRule : uint8_t {
  kOcp,                // floor(log2 amax) - emax; ggml does the same
  kCompressedTensors,  // the same after a quarter of a binade is added, so mantissas from 1.75 on
                       // go up
  kModelOpt,           // ceil(log2(amax / largest element)): nothing saturates
};

// E8M0 code for a group with that largest magnitude (finite, not negative); 0 for a group of zeros.
// `four_bits`: E2M1 elements, else E4M3.
uint8_t mx_scale_code(float amax, bool four_bits, MxRule rule);

}  // namespace sluice::codec
