// Activation rows in the forms that product kernels read (product.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/detect.h"
#include "backend/cpu/product.h"
#include "base/threads.h"

namespace sluice::cpu {

// Rows to prepare. x [rows, columns], stride in floats.
struct RowSpan {
  const float* x = nullptr;
  int64_t rows = 0, columns = 0, stride = 0;
};

// Bytes that prepare() writes for the units, a multiple of 64.
size_t prepared_bytes(Prepared form, int64_t rows, int64_t columns);

// Writes the units to `out` (64-byte aligned) and a factor per row to `row_factors`, by which
// results are to be multiplied. Columns up to the end of the last unit become zeros. A row with a
// NaN or an infinity never gives finite results: integers and pairs give NaN, floats what their sums
// do. Splits the work over the pool where it is worth it. The bits do not depend on the set. Returns whether the scales
// of one digit are all moderate: zero or from 2^-60 to 2^60; false for other forms.
bool prepare(Prepared form, InstructionSet set, const RowSpan& span, std::byte* out,
             float* row_factors, ThreadPool& pool);

}  // namespace sluice::cpu
