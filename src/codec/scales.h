// Block scales in the dtypes in which checkpoints store them, read as F32.
#pragma once

#include <cstdint>

#include "tensor/matrix.h"

namespace sluice::codec {

// Element `index` (row-major) of a plane of BF16, F16, F32, F8_E4M3, F8_E8M0 or U8 (an E8M0
// exponent).
float scale_at(const Plane& plane, int64_t index);

// Whether scale_at knows the dtype.
bool is_scale_dtype(DType dtype);

}  // namespace sluice::codec
