// Decoding of every format, row by row, to F32: the one definition of what stored weights mean.
//
// Bit-exact: the order of roundings is that of the formats' own decoders (spec/formats-safetensors.md
// section 3, formats-gguf.md section 4). Fast kernels decode in their own files and are tested against this.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "tensor/matrix.h"

namespace sluice::codec {

// Shapes, dtypes and sizes of the planes against each other (rule Q-4), so that decode_rows cannot read out of
// bounds whatever the bytes say. `name` is the tensor's, for the error. Must be called before anything else.
Status check_matrix(const EncodedMatrix& matrix, const std::string& name);

// Values that no writer may produce: non-finite or negative scales, signed or NaN e4m3 block scales, e8m0 = 255,
// NaN codes (rules, GG-17). check_scales reads the scales only and is cheap; check_codes reads all.
// `allow_nan` turns NaN codes into zeros when decoding, with a warning by the caller.
Status check_scales(const EncodedMatrix& matrix, const std::string& name);
Status check_codes(const EncodedMatrix& matrix, const std::string& name);

// Rows [first, first + count) as F32, count * matrix.columns values.
void decode_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out);

}  // namespace sluice::codec
