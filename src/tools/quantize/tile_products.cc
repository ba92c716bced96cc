#include "tools/quantize/tile_products.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace sluice::quantize {
namespace {

constexpr int64_t kDepth = 256;  // of a packed panel
constexpr int64_t kRows = 4;     // of a tile in registers

template <typename T>
constexpr int64_t kLanes = static_cast<int64_t>(32 / sizeof(T));  // columns of such a tile

// `width` columns of `source` as panels of `step` columns, each depth x step and padded with
// zeros.
template <typename T>
void pack(int64_t depth, const T* source, int64_t stride, int64_t width, int64_t step, T* out) {
  for (int64_t first = 0; first < width; first += step) {
    const int64_t taken = std::min(step, width - first);
    for (int64_t k = 0; k < depth; ++k) {
      const T* from = source + k * stride + first;
      for (int64_t i = 0; i < step; ++i) *out++ = i < taken ? from[i] : T{0};
    }
  }
}

template <typename T>
void add_tile(int64_t depth, const T* a, const T* b, T sign, int64_t rows, int64_t columns, T* c,
              int64_t c_stride) {
  constexpr int64_t kWide = kLanes<T>;
  T sums[kRows][kWide] = {};
  for (int64_t k = 0; k < depth; ++k, a += kRows, b += kWide) {
    for (int64_t i = 0; i < kRows; ++i) {
      for (int64_t j = 0; j < kWide; ++j) sums[i][j] += a[i] * b[j];
    }
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) c[i * c_stride + j] += sign * sums[i][j];
  }
}

template <typename T>
void products(int64_t depth, const T* a, int64_t a_stride, const T* b, int64_t b_stride, T sign,
              int64_t rows, int64_t columns, T* c, int64_t c_stride) {
  constexpr int64_t kWide = kLanes<T>;
  const auto padded = [](int64_t extent, int64_t step) {
    return (extent + step - 1) / step * step;
  };
  const int64_t most = std::min(depth, kDepth);
  std::vector<T> packed_a(static_cast<size_t>(most * padded(rows, kRows)));
  std::vector<T> packed_b(static_cast<size_t>(most * kWide));
  for (int64_t first = 0; first < depth; first += kDepth) {
    const int64_t taken = std::min(kDepth, depth - first);
    pack(taken, a + first * a_stride, a_stride, rows, kRows, packed_a.data());
    for (int64_t j = 0; j < columns; j += kWide) {
      const int64_t width = std::min(kWide, columns - j);
      pack(taken, b + first * b_stride + j, b_stride, width, kWide, packed_b.data());
      for (int64_t i = 0; i < rows; i += kRows) {
        add_tile(taken, packed_a.data() + i * taken, packed_b.data(), sign,
                 std::min(kRows, rows - i), width, c + i * c_stride + j, c_stride);
      }
    }
  }
}

}  // namespace

void add_products(int64_t depth, const float* a, int64_t a_stride, const float* b, int64_t b_stride,
                  int64_t rows, int64_t columns, float* c, int64_t c_stride) {
  products(depth, a, a_stride, b, b_stride, 1.0f, rows, columns, c, c_stride);
}

void subtract_products(int64_t depth, const double* a, int64_t a_stride, const double* b,
                       int64_t b_stride, int64_t rows, int64_t columns, double* c,
                       int64_t c_stride) {
  products(depth, a, a_stride, b, b_stride, -1.0, rows, columns, c, c_stride);
}

}  // namespace sluice::quantize
