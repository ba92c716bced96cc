// Loops over rows that the trainer runs between its matrix products, forward and backward.
//
// Each fuses what would be five to ten passes over memory as single operations. S is how
// activations are stored (float, double, or bfloat16), A in which they are computed (float; double
// with double). Row strides are in elements. Formulas: architecture.md section 4.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace sluice::distill {

// y = x * rsqrt(mean(x^2) + eps) * (1 + w); keeps the reciprocal root of each row for the backward
// pass (architecture.md 4.2).
template <typename S, typename A>
void rms_norm_forward(int64_t rows, int64_t width, const A* x, const A* w, A eps, S* y,
                      A* inverse_rms);
// dx is written, dw[width] is added to.
template <typename S, typename A>
void rms_norm_backward(int64_t rows, int64_t width, const A* x, const A* w, const A* inverse_rms,
                       const S* dy, A* dx, A* dw);

// y = silu(gate) * up of rows [gate | up] of 2 * width.
template <typename S, typename A>
void swiglu_forward(int64_t rows, int64_t width, const S* gate_up, S* y);
template <typename S, typename A>
void swiglu_backward(int64_t rows, int64_t width, const S* gate_up, const S* dy, S* dgate_up);

// Causal depthwise convolution and SiLU over one segment: c[t] = silu(sum_j taps[j] * u[t-K+1+j]),
// u = 0 before the segment's first row. taps is [kernel, channels].
template <typename S, typename A>
void conv_silu_forward(int64_t rows, int64_t channels, int64_t kernel, const S* u, int64_t u_stride,
                       const A* taps, A* c);
// du is written; dtaps[kernel, channels] is added to. dc is overwritten by the gradient of the
// convolution's sum.
template <typename S, typename A>
void conv_silu_backward(int64_t rows, int64_t channels, int64_t kernel, const S* u,
                        int64_t u_stride, const A* taps, A* dc, S* du, int64_t du_stride, A* dtaps);

// y = w * o * rsqrt(mean(o^2) + eps) * silu(z), per head of `width`; z has rows of heads * width at
// z_stride.
template <typename S, typename A>
void gated_norm_forward(int64_t rows, int64_t heads, int64_t width, const A* o, const S* z,
                        int64_t z_stride, const A* w, A eps, S* y);
// d_o and dz are written, dw is added to.
template <typename S, typename A>
void gated_norm_backward(int64_t rows, int64_t heads, int64_t width, const A* o, const S* z,
                         int64_t z_stride, const A* w, A eps, const S* dy, A* d_o, S* dz,
                         int64_t dz_stride, A* dw);

// Softmax in place of scale * row over the entries [0, valid) and [gap_end, total); those between
// become zero.
template <typename A>
void softmax_row(int64_t valid, int64_t gap_end, int64_t total, A scale, A* row);
// d_p to the gradient of the unscaled scores, in place.
template <typename A>
void softmax_row_backward(int64_t total, A scale, const A* p, A* d_p);

// One row of cross entropy. Returns -log softmax(logits)[label], replaces the logits by their
// gradient times `scale`, and says in `hit` whether the label is the first maximum.
template <typename S, typename A>
A cross_entropy_row(int64_t width, S* logits, int64_t label, A scale, bool& hit);

}  // namespace sluice::distill
