// Decoding of every format, row by row, to F32: the one definition of what stored weights mean.
//
// Bit-exact: the order of roundings is that of the formats' own decoders
// (spec/formats-safetensors.md section 3, formats-gguf.md section 4). Fast kernels decode in their
// own files and are tested against this. Layouts and tables of the single formats are in the
// headers beside this one: float_rows.h, fp8.h, nvfp4.h, mx.h, integer.h, ggml_*.h. Decoding is
// pure: any number of threads may decode the same matrix.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "tensor/matrix.h"

namespace sluice::codec {

// Shapes, dtypes and sizes of the planes against each other (rule Q-4), so that decode_rows cannot
// read out of bounds whatever the bytes say. `name` is the tensor's, for the error. Must be called
// before anything else: all functions below take a matrix that passed.
Status check_matrix(const EncodedMatrix& matrix, const std::string& name);

// Values that no writer may produce (rules, GG-17). check_scales reads the scale planes
// only and is cheap: non-finite or negative scales, signed or NaN e4m3 block scales, e8m0 = 255,
// tensor scales out of range. A float scale of 0 is allowed when all codes of its block are 0, so
// codes of such blocks are read too. ggml's scales lie inside the blocks and count as codes here.
Status check_scales(const EncodedMatrix& matrix, const std::string& name);

// The same for the codes, all of which are read: NaN codes, non-finite floats, integer codes wider
// than their bits, and the scales inside ggml blocks (F16 not finite, e8m0 = 255, e4m3 above 0x7E).
// With kZero NaN codes of E4M3 matrices are not an error (--allow-nan).
enum class NanCodes : uint8_t { kKeep, kZero };
Status check_codes(const EncodedMatrix& matrix, const std::string& name,
                   NanCodes nan = NanCodes::kKeep);

// NaN codes of an E4M3 matrix (0x7F, 0xFF), for the warning that goes with NanCodes::kZero; 0 for
// other formats.
int64_t count_nan_codes(const EncodedMatrix& matrix);

// Rows [first, first + count) as F32, count * matrix.columns values. Zeros keep their sign. NaN
// codes give NaN, or zero with kZero.
void decode_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out,
                 NanCodes nan = NanCodes::kKeep);

}  // namespace sluice::codec
