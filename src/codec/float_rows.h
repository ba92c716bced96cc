// F32, F16 and BF16 matrices: plain arrays.
#pragma once

#include <cstdint>

#include "tensor/matrix.h"

namespace sluice::codec {

// Rows [first, first + count) of a checked matrix of format f32, f16 or bf16, as F32. Exact.
void decode_float_rows(const EncodedMatrix& matrix, int64_t first, int64_t count, float* out);

}  // namespace sluice::codec
