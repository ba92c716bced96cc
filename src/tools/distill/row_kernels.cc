#include "tools/distill/row_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

// The program is built for any x86-64; these loops are compiled again for AVX2 and AVX-512, and the
// loader picks. Not under sanitizers, whose runtime is not there yet when it does.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    defined(__GNUC__) && !defined(__clang__)
#define SLUICE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SLUICE_CLONES
#endif
#define SLUICE_INLINE inline __attribute__((always_inline))
// The arrays of a kernel never overlap, which the compiler cannot see; with five of them it gives
// up on checking at run time.
#if defined(__clang__)
#define SLUICE_NO_OVERLAP _Pragma("clang loop vectorize(assume_safety)")
#else
#define SLUICE_NO_OVERLAP _Pragma("GCC ivdep")
#endif

namespace sluice::distill {
namespace {

using Bf16 = c10::BFloat16;

SLUICE_INLINE float load(const float* p) { return *p; }
SLUICE_INLINE double load(const double* p) { return *p; }
SLUICE_INLINE float load(const Bf16* p) {
  const uint32_t bits = static_cast<uint32_t>(p->x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
SLUICE_INLINE void store(float* p, float value) { *p = value; }
SLUICE_INLINE void store(double* p, double value) { *p = value; }
// Round to nearest even. c10's own conversion branches on NaN, which keeps the loop from being
// vectorized.
SLUICE_INLINE void store(Bf16* p, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  p->x = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

SLUICE_INLINE double exponential(double x) { return std::exp(x); }
// 2^n * e^r with |r| <= ln(2)/2; a polynomial of degree 6, within 2 ulp. libm's expf is a call a
// value.
SLUICE_INLINE float exponential(float x) {
  x = std::min(std::max(x, -87.0f), 88.0f);
  const float shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
  float p = 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  int32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const int32_t scale_bits = (bits - 0x4b400000 + 127) << 23;
  float scale;
  std::memcpy(&scale, &scale_bits, sizeof scale);
  return p * scale;
}

template <typename A>
SLUICE_INLINE A sigmoid(A x) {
  return A(1) / (A(1) + exponential(-x));
}

// Sums in sixteen lanes: the compiler may not reorder a plain sum, so it would not vectorize it.
constexpr int64_t kLanes = 16;
template <typename A, typename Term>
SLUICE_INLINE A sum_of(int64_t count, Term term) {
  A lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (; i < count; ++i) lanes[i % kLanes] += term(i);
  A sum = 0;
  for (const A lane : lanes) sum += lane;
  return sum;
}

template <typename S, typename A>
SLUICE_INLINE void rms_forward(int64_t rows, int64_t width, const A* x, const A* w, A eps, S* y,
                               A* inverse_rms) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    const A square = sum_of<A>(width, [&](int64_t i) { return x[i] * x[i]; });
    const A inverse = A(1) / std::sqrt(square / static_cast<A>(width) + eps);
    inverse_rms[row] = inverse;
    SLUICE_NO_OVERLAP
    for (int64_t i = 0; i < width; ++i) store(y + i, x[i] * inverse * (A(1) + w[i]));
  }
}

template <typename S, typename A>
SLUICE_INLINE void rms_backward(int64_t rows, int64_t width, const A* x, const A* w,
                                const A* inverse_rms, const S* dy, A* dx, A* dw) {
  for (int64_t row = 0; row < rows; ++row, x += width, dy += width, dx += width) {
    const A inverse = inverse_rms[row];
    const A dot = sum_of<A>(width, [&](int64_t i) { return load(dy + i) * (A(1) + w[i]) * x[i]; });
    const A shrink = dot * inverse * inverse * inverse / static_cast<A>(width);
    SLUICE_NO_OVERLAP
    for (int64_t i = 0; i < width; ++i) {
      const A gradient = load(dy + i);
      dw[i] += gradient * x[i] * inverse;
      dx[i] = gradient * (A(1) + w[i]) * inverse - x[i] * shrink;
    }
  }
}

template <typename S, typename A>
SLUICE_INLINE void glu_forward(int64_t rows, int64_t width, const S* gate_up, S* y) {
  for (int64_t row = 0; row < rows; ++row, gate_up += 2 * width, y += width) {
    SLUICE_NO_OVERLAP
    for (int64_t i = 0; i < width; ++i) {
      const A gate = load(gate_up + i);
      store(y + i, gate * sigmoid(gate) * load(gate_up + width + i));
    }
  }
}

template <typename S, typename A>
SLUICE_INLINE void glu_backward(int64_t rows, int64_t width, const S* gate_up, const S* dy,
                                S* dgate_up) {
  for (int64_t row = 0; row < rows; ++row) {
    SLUICE_NO_OVERLAP
    for (int64_t i = 0; i < width; ++i) {
      const A gate = load(gate_up + i), up = load(gate_up + width + i), gradient = load(dy + i);
      const A s = sigmoid(gate);
      store(dgate_up + i, gradient * up * s * (A(1) + gate * (A(1) - s)));
      store(dgate_up + width + i, gradient * gate * s);
    }
    gate_up += 2 * width, dgate_up += 2 * width, dy += width;
  }
}

template <typename S, typename A>
SLUICE_INLINE void convolve(int64_t row, int64_t channels, int64_t kernel, const S* u,
                            int64_t u_stride, const A* taps, A* sum) {
  SLUICE_NO_OVERLAP
  for (int64_t i = 0; i < channels; ++i) sum[i] = 0;
  for (int64_t tap = 0; tap < kernel; ++tap) {
    const int64_t source = row - kernel + 1 + tap;
    if (source < 0) continue;
    const S* from = u + source * u_stride;
    const A* weight = taps + tap * channels;
    SLUICE_NO_OVERLAP
    for (int64_t i = 0; i < channels; ++i) sum[i] += weight[i] * load(from + i);
  }
}

template <typename S, typename A>
SLUICE_INLINE void conv_forward(int64_t rows, int64_t channels, int64_t kernel, const S* u,
                                int64_t u_stride, const A* taps, A* c) {
  for (int64_t row = 0; row < rows; ++row, c += channels) {
    convolve(row, channels, kernel, u, u_stride, taps, c);
    SLUICE_NO_OVERLAP
    for (int64_t i = 0; i < channels; ++i) c[i] *= sigmoid(c[i]);
  }
}

template <typename S, typename A>
SLUICE_INLINE void conv_backward(int64_t rows, int64_t channels, int64_t kernel, const S* u,
                                 int64_t u_stride, const A* taps, A* dc, S* du, int64_t du_stride,
                                 A* dtaps) {
  std::vector<A> scratch(static_cast<size_t>(channels));
  A* sum = scratch.data();
  for (int64_t row = 0; row < rows; ++row) {
    convolve(row, channels, kernel, u, u_stride, taps, sum);
    A* gradient = dc + row * channels;
    SLUICE_NO_OVERLAP
    for (int64_t i = 0; i < channels; ++i) {
      const A s = sigmoid(sum[i]);
      gradient[i] *= s * (A(1) + sum[i] * (A(1) - s));
    }
    for (int64_t tap = 0; tap < kernel; ++tap) {
      const int64_t source = row - kernel + 1 + tap;
      if (source < 0) continue;
      const S* from = u + source * u_stride;
      A* out = dtaps + tap * channels;
      SLUICE_NO_OVERLAP
      for (int64_t i = 0; i < channels; ++i) out[i] += gradient[i] * load(from + i);
    }
  }
  for (int64_t row = 0; row < rows; ++row) {
    SLUICE_NO_OVERLAP
    for (int64_t i = 0; i < channels; ++i) sum[i] = 0;
    for (int64_t tap = 0; tap < kernel; ++tap) {
      const int64_t reader = row + kernel - 1 - tap;
      if (reader >= rows) continue;
      const A* gradient = dc + reader * channels;
      const A* weight = taps + tap * channels;
      SLUICE_NO_OVERLAP
      for (int64_t i = 0; i < channels; ++i) sum[i] += weight[i] * gradient[i];
    }
    SLUICE_NO_OVERLAP
    for (int64_t i = 0; i < channels; ++i) store(du + row * du_stride + i, sum[i]);
  }
}

template <typename S, typename A>
SLUICE_INLINE void gated_forward(int64_t rows, int64_t heads, int64_t width, const A* o, const S* z,
                                 int64_t z_stride, const A* w, A eps, S* y) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t head = 0; head < heads; ++head, o += width, y += width) {
      const S* gate = z + row * z_stride + head * width;
      const A square = sum_of<A>(width, [&](int64_t i) { return o[i] * o[i]; });
      const A inverse = A(1) / std::sqrt(square / static_cast<A>(width) + eps);
      SLUICE_NO_OVERLAP
      for (int64_t i = 0; i < width; ++i) {
        const A g = load(gate + i);
        store(y + i, w[i] * (o[i] * inverse) * (g * sigmoid(g)));
      }
    }
  }
}

template <typename S, typename A>
SLUICE_INLINE void gated_backward(int64_t rows, int64_t heads, int64_t width, const A* o,
                                  const S* z, int64_t z_stride, const A* w, A eps, const S* dy,
                                  A* d_o, S* dz, int64_t dz_stride, A* dw) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t head = 0; head < heads; ++head, o += width, dy += width, d_o += width) {
      const S* gate = z + row * z_stride + head * width;
      S* dgate = dz + row * dz_stride + head * width;
      const A square = sum_of<A>(width, [&](int64_t i) { return o[i] * o[i]; });
      const A inverse = A(1) / std::sqrt(square / static_cast<A>(width) + eps);
      SLUICE_NO_OVERLAP
      for (int64_t i = 0; i < width; ++i) {
        const A g = load(gate + i), gradient = load(dy + i), s = sigmoid(g);
        const A normed = o[i] * inverse;
        store(dgate + i, gradient * w[i] * normed * s * (A(1) + g * (A(1) - s)));
        const A through = gradient * g * s;
        dw[i] += through * normed;
        d_o[i] = through * w[i];
      }
      const A dot = sum_of<A>(width, [&](int64_t i) { return d_o[i] * o[i]; });
      const A shrink = dot * inverse * inverse * inverse / static_cast<A>(width);
      SLUICE_NO_OVERLAP
      for (int64_t i = 0; i < width; ++i) d_o[i] = d_o[i] * inverse - o[i] * shrink;
    }
  }
}

template <typename S, typename A>
SLUICE_INLINE A entropy_row(int64_t width, S* logits, int64_t label, A scale, bool& hit,
                            A* scratch) {
  A lanes[kLanes];
  for (A& lane : lanes) lane = load(logits);
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = std::max(lanes[lane], static_cast<A>(load(logits + i + lane)));
  }
  for (; i < width; ++i) lanes[0] = std::max(lanes[0], static_cast<A>(load(logits + i)));
  A peak = lanes[0];
  for (const A lane : lanes) peak = std::max(peak, lane);
  const A own = load(logits + label);
  hit = own == peak;
  for (int64_t j = 0; hit && j < label; ++j) hit = load(logits + j) != peak;
  SLUICE_NO_OVERLAP
  for (int64_t j = 0; j < width; ++j) scratch[j] = exponential(load(logits + j) - peak);
  const A total = sum_of<A>(width, [&](int64_t j) { return scratch[j]; });
  const A factor = scale / total;
  SLUICE_NO_OVERLAP
  for (int64_t j = 0; j < width; ++j) store(logits + j, scratch[j] * factor);
  store(logits + label, (scratch[label] / total - A(1)) * scale);
  return std::log(total) + peak - own;
}

template <typename A>
SLUICE_INLINE void soften(int64_t begin, int64_t end, A shift, A scale, A* row) {
  SLUICE_NO_OVERLAP
  for (int64_t i = begin; i < end; ++i) row[i] = exponential(row[i] * scale - shift);
}

template <typename A>
SLUICE_INLINE void softmax_forward(int64_t valid, int64_t gap_end, int64_t total, A scale, A* row) {
  A peak = row[0];
  for (int64_t i = 0; i < valid; ++i) peak = std::max(peak, row[i]);
  for (int64_t i = gap_end; i < total; ++i) peak = std::max(peak, row[i]);
  soften(0, valid, peak * scale, scale, row);
  soften(gap_end, total, peak * scale, scale, row);
  for (int64_t i = valid; i < gap_end; ++i) row[i] = 0;
  const A inverse = A(1) / sum_of<A>(total, [&](int64_t i) { return row[i]; });
  SLUICE_NO_OVERLAP
  for (int64_t i = 0; i < total; ++i) row[i] *= inverse;
}

template <typename A>
SLUICE_INLINE void softmax_backward(int64_t total, A scale, const A* p, A* d_p) {
  const A dot = sum_of<A>(total, [&](int64_t i) { return p[i] * d_p[i]; });
  SLUICE_NO_OVERLAP
  for (int64_t i = 0; i < total; ++i) d_p[i] = scale * p[i] * (d_p[i] - dot);
}

}  // namespace

// One definition of every kernel for each pair of types: clones cannot be made of a template.
#define SLUICE_ROW_KERNELS(S, A)                                                                  \
  template <>                                                                                     \
  SLUICE_CLONES void rms_norm_forward<S, A>(int64_t rows, int64_t width, const A* x, const A* w,  \
                                            A eps, S* y, A* inverse_rms) {                        \
    rms_forward<S, A>(rows, width, x, w, eps, y, inverse_rms);                                    \
  }                                                                                               \
  template <>                                                                                     \
  SLUICE_CLONES void rms_norm_backward<S, A>(int64_t rows, int64_t width, const A* x, const A* w, \
                                             const A* inverse_rms, const S* dy, A* dx, A* dw) {   \
    rms_backward<S, A>(rows, width, x, w, inverse_rms, dy, dx, dw);                               \
  }                                                                                               \
  template <>                                                                                     \
  SLUICE_CLONES void swiglu_forward<S, A>(int64_t rows, int64_t width, const S* gate_up, S* y) {  \
    glu_forward<S, A>(rows, width, gate_up, y);                                                   \
  }                                                                                               \
  template <>                                                                                     \
  SLUICE_CLONES void swiglu_backward<S, A>(int64_t rows, int64_t width, const S* gate_up,         \
                                           const S* dy, S* dgate_up) {                            \
    glu_backward<S, A>(rows, width, gate_up, dy, dgate_up);                                       \
  }                                                                                               \
  template <>                                                                                     \
  SLUICE_CLONES void conv_silu_forward<S, A>(int64_t rows, int64_t channels, int64_t kernel,      \
                                             const S* u, int64_t u_stride, const A* taps, A* c) { \
    conv_forward<S, A>(rows, channels, kernel, u, u_stride, taps, c);                             \
  }                                                                                               \
  template <>                                                                                     \
  SLUICE_CLONES void conv_silu_backward<S, A>(int64_t rows, int64_t channels, int64_t kernel,     \
                                              const S* u, int64_t u_stride, const A* taps, A* dc, \
                                              S* du, int64_t du_stride, A* dtaps) {               \
    conv_backward<S, A>(rows, channels, kernel, u, u_stride, taps, dc, du, du_stride, dtaps);     \
  }                                                                                               \
  template <>                                                                                     \
  SLUICE_CLONES void gated_norm_forward<S, A>(int64_t rows, int64_t heads, int64_t width,         \
                                              const A* o, const S* z, int64_t z_stride,           \
                                              const A* w, A eps, S* y) {                          \
    gated_forward<S, A>(rows, heads, width, o, z, z_stride, w, eps, y);                           \
  }                                                                                               \
  template <>                                                                                     \
  SLUICE_CLONES void gated_norm_backward<S, A>(                                                   \
      int64_t rows, int64_t heads, int64_t width, const A* o, const S* z, int64_t z_stride,       \
      const A* w, A eps, const S* dy, A* d_o, S* dz, int64_t dz_stride, A* dw) {                  \
    gated_backward<S, A>(rows, heads, width, o, z, z_stride, w, eps, dy, d_o, dz, dz_stride, dw); \
  }                                                                                               \
  template <>                                                                                     \
  SLUICE_CLONES A cross_entropy_row<S, A>(int64_t width, S * logits, int64_t label, A scale,      \
                                          bool& hit) {                                            \
    thread_local std::vector<A> scratch;                                                          \
    scratch.resize(static_cast<size_t>(width));                                                   \
    return entropy_row<S, A>(width, logits, label, scale, hit, scratch.data());                   \
  }

#define SLUICE_SOFTMAX(A)                                                                   \
  template <>                                                                               \
  SLUICE_CLONES void softmax_row<A>(int64_t valid, int64_t gap_end, int64_t total, A scale, \
                                    A * row) {                                              \
    softmax_forward<A>(valid, gap_end, total, scale, row);                                  \
  }                                                                                         \
  template <>                                                                               \
  SLUICE_CLONES void softmax_row_backward<A>(int64_t total, A scale, const A* p, A* d_p) {  \
    softmax_backward<A>(total, scale, p, d_p);                                              \
  }

SLUICE_SOFTMAX(float)
SLUICE_SOFTMAX(double)
SLUICE_ROW_KERNELS(float, float)
SLUICE_ROW_KERNELS(double, double)
SLUICE_ROW_KERNELS(Bf16, float)

}  // namespace sluice::distill
