// The few BLAS calls of the trainer, row-major and for both precisions.
//
// Torch's own small products cost microseconds of dispatch each; the delta rule makes thousands of
// 64 x 64 products a step.
#pragma once

#include <cstdint>

extern "C" {
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
            const float*, const int*, const float*, const int*, const float*, float*, const int*);
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*,
            const double*, const int*, const double*, const int*, const double*, double*,
            const int*);
void strsm_(const char*, const char*, const char*, const char*, const int*, const int*,
            const float*, const float*, const int*, float*, const int*);
void dtrsm_(const char*, const char*, const char*, const char*, const int*, const int*,
            const double*, const double*, const int*, double*, const int*);
}

namespace sluice::distill {

enum class Side { kPlain, kTransposed };

// C[m, n] = alpha * op(A) op(B) + beta * C, all row-major; leading dimensions in elements. A is
// [m, k] if plain, [k, m] if transposed; B is [k, n] or [n, k].
template <typename T>
void gemm(Side a_side, Side b_side, int64_t m, int64_t n, int64_t k, T alpha, const T* a,
          int64_t lda, const T* b, int64_t ldb, T beta, T* c, int64_t ldc) {
  const char ta = a_side == Side::kPlain ? 'N' : 'T', tb = b_side == Side::kPlain ? 'N' : 'T';
  const int im = static_cast<int>(m), in = static_cast<int>(n), ik = static_cast<int>(k);
  const int ia = static_cast<int>(lda), ib = static_cast<int>(ldb), ic = static_cast<int>(ldc);
  // A row-major product is the column-major product of the transposes in the other order.
  if constexpr (sizeof(T) == sizeof(float)) {
    sgemm_(&tb, &ta, &in, &im, &ik, &alpha, b, &ib, a, &ia, &beta, c, &ic);
  } else {
    dgemm_(&tb, &ta, &in, &im, &ik, &alpha, b, &ib, a, &ia, &beta, c, &ic);
  }
}

// Solves L X = B (or its transpose, L^T X = B) in place of B[m, n], for a unit lower triangular
// L[m, m] whose diagonal and upper part are not read.
template <typename T>
void solve_unit_lower(Side side, int64_t m, int64_t n, const T* l, int64_t ldl, T* b, int64_t ldb) {
  const char right = 'R', upper = 'U', unit = 'U', trans = side == Side::kPlain ? 'N' : 'T';
  const int im = static_cast<int>(m), in = static_cast<int>(n);
  const int il = static_cast<int>(ldl), ib = static_cast<int>(ldb);
  const T one = 1;
  if constexpr (sizeof(T) == sizeof(float)) {
    strsm_(&right, &upper, &trans, &unit, &in, &im, &one, l, &il, b, &ib);
  } else {
    dtrsm_(&right, &upper, &trans, &unit, &in, &im, &one, l, &il, b, &ib);
  }
}

}  // namespace sluice::distill
