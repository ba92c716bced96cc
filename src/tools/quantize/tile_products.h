// C += A^T B and C -= A^T B of row-major matrices: the one loop behind Hessians, their factors and
// the compensation of rounding.
//
// Plain C++ in the baseline's vectors, 30 GFLOP/s a core in F32. Wider instructions live in
// backends alone, whose products round as each machine likes; here the same inputs give the same
// bits on every machine.
#pragma once

#include <cstdint>

namespace sluice::quantize {

// C is rows x columns, A depth x rows, B depth x columns; strides count values. An element's sum
// runs along the depth in an order that depends on `depth` alone, so the caller may cut C into
// tiles as it likes.
void add_products(int64_t depth, const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                  int64_t rows, int64_t columns, float* c, int64_t c_stride);
void subtract_products(int64_t depth, const double* a, int64_t a_stride, const double* b,
                       int64_t b_stride, int64_t rows, int64_t columns, double* c,
                       int64_t c_stride);

}  // namespace sluice::quantize
