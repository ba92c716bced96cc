// Element-wise operations, norms, rotation, convolution: one row (or a part of one) at a time.
//
// Results are functions of the arguments alone: no kernel looks at neighbours, so splitting rows or
// columns over threads changes no bit, except where a sum runs over a whole row (norms), which is
// never split.
#pragma once

#include <cstdint>

#include "backend/cpu/detect.h"

namespace sluice::cpu {

struct RowKernels {
  const char* target;  // Highway's name, for tests: the forced level took effect
  int lanes;           // floats of a vector

  // x[i] += delta[i].
  void (*add)(float* x, const float* delta, int64_t count);
  // out = x * (mean(x^2) + eps)^-1/2 * weight; out may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, float* out, int64_t count);
  // out = x * (sum(x^2) + 1e-6)^-1/2 * scale.
  void (*l2_norm)(const float* x, float scale, float* out, int64_t count);
  // out = weight * rms_norm(core) * silu(z).
  void (*gated_norm)(const float* core, const float* z, const float* weight, float eps, float* out,
                     int64_t count);
  // out = silu(gate) * up.
  void (*swiglu)(const float* gate, const float* up, float* out, int64_t count);
  // out = x * sigmoid(gate).
  void (*sigmoid_gate)(const float* x, const float* gate, float* out, int64_t count);
  // Half-split rotation of x[0, 2 pairs) in place.
  void (*rotate)(float* x, const float* cosines, const float* sines, int64_t pairs);
  // First index of the largest value; values that are not numbers lose against all.
  int64_t (*first_maximum)(const float* x, int64_t count);
  // weight [channels, taps], weight_stride floats apart, to out [taps, stride], channels <= stride.
  void (*transpose_taps)(const float* weight, int64_t weight_stride, int64_t channels, int64_t taps,
                         float* out, int64_t stride);
  // out[c] = silu(sum over t ascending of weight[t * stride + c] * rows[t][c]).
  void (*convolve)(const float* const* rows, const float* weight, int64_t stride, int64_t taps,
                   float* out, int64_t channels);
  // out[i] = e^x[i].
  void (*exponential)(const float* x, float* out, int64_t count);
};

const RowKernels& row_kernels(InstructionSet set);

}  // namespace sluice::cpu
