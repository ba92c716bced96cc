#include "tools/distill/ragged_attention.h"

#include <cmath>
#include <vector>

#include "tools/distill/blas.h"
#include "tools/distill/row_kernels.h"

namespace sluice::distill {
namespace {

// The part of one query head in one group. Probabilities are [rows, keys + extras].
struct Slice {
  int64_t rows, keys, width;           // width: keys + extras
  int64_t q_stride, k_stride;          // of rows of all heads
  int64_t q_at, k_at, extra_at, row0;  // offsets of this head's first element, and the first row
};

Slice slice_of(const AttentionShape& shape, const AttentionGroup& group, int64_t head) {
  const int64_t kv_head = head / (shape.query_heads / shape.kv_heads);
  Slice slice{};
  slice.rows = group.row_end - group.row_begin;
  slice.keys = group.key_end - group.key_begin;
  slice.width = slice.keys + shape.extras;
  slice.q_stride = shape.query_heads * shape.head_dim;
  slice.k_stride = shape.kv_heads * shape.head_dim;
  slice.q_at = group.row_begin * slice.q_stride + head * shape.head_dim;
  slice.k_at = group.key_begin * slice.k_stride + kv_head * shape.head_dim;
  slice.extra_at = group.row_begin * shape.extras * slice.k_stride + kv_head * shape.head_dim;
  slice.row0 = group.row_begin;
  return slice;
}

template <typename T>
T dot(int64_t count, const T* a, const T* b) {
  T sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

template <typename T>
void add_scaled(int64_t count, T factor, const T* from, T* to) {
  for (int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

}  // namespace

int64_t attention_trace_size(const AttentionShape& shape, std::span<const AttentionGroup> groups) {
  int64_t size = 0;
  for (const AttentionGroup& group : groups) {
    size += (group.row_end - group.row_begin) * (group.key_end - group.key_begin + shape.extras) *
            shape.query_heads;
  }
  return size;
}

template <typename T>
void attention_forward(const AttentionShape& shape, std::span<const AttentionGroup> groups,
                       const AttentionInputs<T>& inputs, T* probabilities, T* out) {
  const int64_t dim = shape.head_dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(dim));
  for (const AttentionGroup& group : groups) {
    for (int64_t head = 0; head < shape.query_heads; ++head) {
      const Slice s = slice_of(shape, group, head);
      if (s.rows == 0) continue;
      T* p = probabilities;
      probabilities += s.rows * s.width;
      gemm<T>(Side::kPlain, Side::kTransposed, s.rows, s.keys, dim, T(1), inputs.q + s.q_at,
              s.q_stride, inputs.k + s.k_at, s.k_stride, T(0), p, s.width);
      for (int64_t row = 0; row < s.rows; ++row) {
        T* scores = p + row * s.width;
        for (int64_t i = 0; i < shape.extras; ++i) {
          scores[s.keys + i] =
              dot(dim, inputs.q + s.q_at + row * s.q_stride,
                  inputs.extra_k + s.extra_at + (row * shape.extras + i) * s.k_stride);
        }
        const int64_t valid = inputs.last[s.row0 + row] - group.key_begin + 1;
        softmax_row<T>(valid, s.keys, s.width, scale, scores);
      }
      T* o = out + s.q_at;
      gemm<T>(Side::kPlain, Side::kPlain, s.rows, dim, s.keys, T(1), p, s.width, inputs.v + s.k_at,
              s.k_stride, T(0), o, s.q_stride);
      for (int64_t row = 0; row < s.rows; ++row) {
        for (int64_t i = 0; i < shape.extras; ++i) {
          add_scaled(dim, p[row * s.width + s.keys + i],
                     inputs.extra_v + s.extra_at + (row * shape.extras + i) * s.k_stride,
                     o + row * s.q_stride);
        }
      }
    }
  }
}

template <typename T>
void attention_backward(const AttentionShape& shape, std::span<const AttentionGroup> groups,
                        const AttentionInputs<T>& inputs, const T* probabilities, const T* dout,
                        const AttentionGradients<T>& gradients) {
  const int64_t dim = shape.head_dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(dim));
  std::vector<T> scratch;
  for (const AttentionGroup& group : groups) {
    for (int64_t head = 0; head < shape.query_heads; ++head) {
      const Slice s = slice_of(shape, group, head);
      if (s.rows == 0) continue;
      const T* p = probabilities;
      probabilities += s.rows * s.width;
      scratch.resize(static_cast<size_t>(s.rows * s.width));
      T* d_s = scratch.data();
      const T* d_o = dout + s.q_at;
      gemm<T>(Side::kPlain, Side::kTransposed, s.rows, s.keys, dim, T(1), d_o, s.q_stride,
              inputs.v + s.k_at, s.k_stride, T(0), d_s, s.width);
      for (int64_t row = 0; row < s.rows; ++row) {
        for (int64_t i = 0; i < shape.extras; ++i) {
          const int64_t extra = s.extra_at + (row * shape.extras + i) * s.k_stride;
          d_s[row * s.width + s.keys + i] =
              dot(dim, d_o + row * s.q_stride, inputs.extra_v + extra);
          add_scaled(dim, p[row * s.width + s.keys + i], d_o + row * s.q_stride,
                     gradients.extra_v + extra);
        }
        softmax_row_backward<T>(s.width, scale, p + row * s.width, d_s + row * s.width);
        for (int64_t i = 0; i < shape.extras; ++i) {
          const int64_t extra = s.extra_at + (row * shape.extras + i) * s.k_stride;
          const T value = d_s[row * s.width + s.keys + i];
          add_scaled(dim, value, inputs.q + s.q_at + row * s.q_stride, gradients.extra_k + extra);
          add_scaled(dim, value, inputs.extra_k + extra, gradients.q + s.q_at + row * s.q_stride);
        }
      }
      gemm<T>(Side::kTransposed, Side::kPlain, s.keys, dim, s.rows, T(1), p, s.width, d_o,
              s.q_stride, T(1), gradients.v + s.k_at, s.k_stride);
      gemm<T>(Side::kPlain, Side::kPlain, s.rows, dim, s.keys, T(1), d_s, s.width,
              inputs.k + s.k_at, s.k_stride, T(1), gradients.q + s.q_at, s.q_stride);
      gemm<T>(Side::kTransposed, Side::kPlain, s.keys, dim, s.rows, T(1), d_s, s.width,
              inputs.q + s.q_at, s.q_stride, T(1), gradients.k + s.k_at, s.k_stride);
    }
  }
}

template void attention_forward(const AttentionShape&, std::span<const AttentionGroup>,
                                const AttentionInputs<float>&, float*, float*);
template void attention_forward(const AttentionShape&, std::span<const AttentionGroup>,
                                const AttentionInputs<double>&, double*, double*);
template void attention_backward(const AttentionShape&, std::span<const AttentionGroup>,
                                 const AttentionInputs<float>&, const float*, const float*,
                                 const AttentionGradients<float>&);
template void attention_backward(const AttentionShape&, std::span<const AttentionGroup>,
                                 const AttentionInputs<double>&, const double*, const double*,
                                 const AttentionGradients<double>&);

}  // namespace sluice::distill
