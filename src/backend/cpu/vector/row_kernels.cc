#include "backend/cpu/vector/row_kernels.h"

#include <cmath>
#include <limits>

// The order matters: targets, then the re-inclusion of this file per target, then Highway.
// clang-format off
#include "backend/cpu/vector/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/vector/row_kernels.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "backend/cpu/vector/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace sluice::cpu {
namespace HWY_NAMESPACE {
namespace {

void add(float* x, const float* delta, int64_t count) {
  const F32 d;
  const int64_t n = lanes();
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, delta + i)), d, x + i);
  }
  for (; i < count; ++i) x[i] += delta[i];
}

// 1 / sqrt(sum + eps), rounded once.
float inverse_root(double sum, float eps) {
  return static_cast<float>(1.0 / std::sqrt(sum + static_cast<double>(eps)));
}

void rms_norm(const float* x, const float* weight, float eps, float* out, int64_t count) {
  const F32 d;
  const int64_t n = lanes();
  const float factor = inverse_root(sum_of_squares(x, count) / static_cast<double>(count), eps);
  const Vec scale = hn::Set(d, factor);
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), scale), hn::LoadU(d, weight + i)), d, out + i);
  }
  for (; i < count; ++i) out[i] = x[i] * factor * weight[i];
}

void l2_norm(const float* x, float scale, float* out, int64_t count) {
  const F32 d;
  const int64_t n = lanes();
  const float factor = inverse_root(sum_of_squares(x, count), 1e-6f);
  const Vec normalize = hn::Set(d, factor), times = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), normalize), times), d, out + i);
  }
  for (; i < count; ++i) out[i] = x[i] * factor * scale;
}

void gated_norm(const float* core, const float* z, const float* weight, float eps, float* out,
                int64_t count) {
  const F32 d;
  const int64_t n = lanes();
  const double mean = sum_of_squares(core, count) / static_cast<double>(count);
  const Vec scale = hn::Set(d, inverse_root(mean, eps));
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    const Vec normed = hn::Mul(hn::Mul(hn::LoadU(d, core + i), scale), hn::LoadU(d, weight + i));
    hn::StoreU(hn::Mul(normed, silu(hn::LoadU(d, z + i))), d, out + i);
  }
  if (i < count) {
    const int64_t left = count - i;
    const Vec normed =
        hn::Mul(hn::Mul(load_tail(core + i, left), scale), load_tail(weight + i, left));
    store_tail(hn::Mul(normed, silu(load_tail(z + i, left))), out + i, left);
  }
}

void swiglu(const float* gate, const float* up, float* out, int64_t count) {
  const F32 d;
  const int64_t n = lanes();
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    hn::StoreU(hn::Mul(silu(hn::LoadU(d, gate + i)), hn::LoadU(d, up + i)), d, out + i);
  }
  if (i < count) {
    const int64_t left = count - i;
    store_tail(hn::Mul(silu(load_tail(gate + i, left)), load_tail(up + i, left)), out + i, left);
  }
}

void sigmoid_gate(const float* x, const float* gate, float* out, int64_t count) {
  const F32 d;
  const int64_t n = lanes();
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), sigmoid(hn::LoadU(d, gate + i))), d, out + i);
  }
  if (i < count) {
    const int64_t left = count - i;
    store_tail(hn::Mul(load_tail(x + i, left), sigmoid(load_tail(gate + i, left))), out + i, left);
  }
}

void rotate(float* x, const float* cosines, const float* sines, int64_t pairs) {
  const F32 d;
  const int64_t n = lanes();
  float* const low = x;
  float* const high = x + pairs;
  int64_t i = 0;
  for (; i + n <= pairs; i += n) {
    const Vec a = hn::LoadU(d, low + i), b = hn::LoadU(d, high + i);
    const Vec c = hn::LoadU(d, cosines + i), s = hn::LoadU(d, sines + i);
    // Products and sum rounded apart, so that tails and every target agree in form.
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, low + i);
    hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, high + i);
  }
  for (; i < pairs; ++i) {
    const float a = low[i], b = high[i];
    low[i] = a * cosines[i] - b * sines[i];
    high[i] = b * cosines[i] + a * sines[i];
  }
}

// Two passes: the largest value, then its first place. The second usually ends early, and the first
// runs at load speed, which a pass that carries indices does not.
int64_t first_maximum(const float* x, int64_t count) {
  const F32 d;
  const int64_t n = lanes();
  const float lowest = -std::numeric_limits<float>::infinity();
  Vec best0 = hn::Set(d, lowest), best1 = best0;
  int64_t i = 0;
  for (; i + 2 * n <= count; i += 2 * n) {
    const Vec a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + i + n);
    best0 = hn::IfThenElse(hn::Gt(a, best0), a, best0);  // false where a is not a number
    best1 = hn::IfThenElse(hn::Gt(b, best1), b, best1);
  }
  HWY_ALIGN float parts[kMaxLanes];
  hn::Store(hn::IfThenElse(hn::Gt(best1, best0), best1, best0), d, parts);
  float best = lowest;
  for (int64_t lane = 0; lane < n; ++lane) best = parts[lane] > best ? parts[lane] : best;
  for (; i < count; ++i) best = x[i] > best ? x[i] : best;
  for (int64_t at = 0; at < count; ++at) {
    if (x[at] == best) return at;
  }
  return 0;  // nothing but values that are not numbers
}

void transpose_taps(const float* weight, int64_t weight_stride, int64_t channels, int64_t taps,
                    float* out, int64_t stride) {
  int64_t c = 0;
#if HWY_TARGET != HWY_SCALAR
  if (taps == 4 && weight_stride == 4) {
    const F32 d;
    const int64_t n = lanes();
    for (; c + n <= channels; c += n) {
      Vec t0, t1, t2, t3;
      hn::LoadInterleaved4(d, weight + c * 4, t0, t1, t2, t3);
      hn::StoreU(t0, d, out + c);
      hn::StoreU(t1, d, out + stride + c);
      hn::StoreU(t2, d, out + 2 * stride + c);
      hn::StoreU(t3, d, out + 3 * stride + c);
    }
  }
#endif
  for (; c < channels; ++c) {
    for (int64_t t = 0; t < taps; ++t) out[t * stride + c] = weight[c * weight_stride + t];
  }
}

void convolve(const float* const* rows, const float* weight, int64_t stride, int64_t taps,
              float* out, int64_t channels) {
  const F32 d;
  const int64_t n = lanes();
  int64_t c = 0;
  for (; c + n <= channels; c += n) {
    Vec sum = hn::Mul(hn::LoadU(d, weight + c), hn::LoadU(d, rows[0] + c));
    for (int64_t t = 1; t < taps; ++t) {
      sum = hn::MulAdd(hn::LoadU(d, weight + t * stride + c), hn::LoadU(d, rows[t] + c), sum);
    }
    hn::StoreU(silu(sum), d, out + c);
  }
  if (c < channels) {
    const int64_t left = channels - c;
    Vec sum = hn::Mul(load_tail(weight + c, left), load_tail(rows[0] + c, left));
    for (int64_t t = 1; t < taps; ++t) {
      sum = hn::MulAdd(load_tail(weight + t * stride + c, left), load_tail(rows[t] + c, left), sum);
    }
    store_tail(silu(sum), out + c, left);
  }
}

void exponential(const float* x, float* out, int64_t count) {
  const F32 d;
  const int64_t n = lanes();
  int64_t i = 0;
  for (; i + n <= count; i += n) hn::StoreU(exp(hn::LoadU(d, x + i)), d, out + i);
  if (i < count) store_tail(exp(load_tail(x + i, count - i)), out + i, count - i);
}

}  // namespace

const RowKernels& row_kernel_table() {
  static constexpr RowKernels kTable = {HWY_STR(HWY_NAMESPACE),
                                        static_cast<int>(kMaxLanes),
                                        add,
                                        rms_norm,
                                        l2_norm,
                                        gated_norm,
                                        swiglu,
                                        sigmoid_gate,
                                        rotate,
                                        first_maximum,
                                        transpose_taps,
                                        convolve,
                                        exponential};
  return kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::cpu {
const RowKernels& row_kernels(InstructionSet set) { SLUICE_PICK_TARGET(set, row_kernel_table) }
}  // namespace sluice::cpu
#endif
