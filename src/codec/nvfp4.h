// NVFP4 matrices of safetensors checkpoints, compressed-tensors and ModelOpt
// (spec/formats-safetensors.md 3.5, 3.9, 3.11). ggml's NVFP4 has another layout: codec/ggml_fp4.h.
//
// Layout: codes [N, K/2] bytes, low nibble = even column, high nibble = odd column. Scales F8_E4M3
// [N, K/g] without sign, row-major (never swizzled), g = 16, or 16 or 32 for w4a8_nvfp4. One tensor
// scale: a divisor G (compressed-tensors) or a multiplier ws2 (ModelOpt).
#pragma once

#include <cstdint>

#include "codec/number_formats.h"
#include "tensor/matrix.h"

namespace sluice::codec {

inline constexpr int64_t kNvfp4Group = 16;
inline constexpr int64_t kW4a8Group = 32;  // the preset's; read the real one from the shapes

// What a block's codes are multiplied by: the two scales are joined first, with one rounding. dec4
// * (dec8 / G) and dec4 * (dec8 * ws2) are what the formats' own decoders compute; any other order
// moves last bits.
inline float nvfp4_block_factor(uint8_t scale_code, const TensorScale& tensor_scale) {
  const float scale = kE4m3Values[scale_code];
  return tensor_scale.use == TensorScale::Use::kDivide ? scale / tensor_scale.value
                                                       : scale * tensor_scale.value;
}

// Rows [first, first + count) of a checked matrix.
void decode_nvfp4_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out);

}  // namespace sluice::codec
