// The differentiable blocks that torch does not have, or has only as many small operations.
//
// Matrices are stored in `compute` type (float, double, bfloat16); statistics, the delta rule,
// attention and the residual stream are float (double with double).
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "tools/distill/delta_rule.h"
#include "tools/distill/ragged_attention.h"

namespace sluice::distill {

// Where the samples lie: int64 [samples, 2], begin and end of each, ascending and without gaps.
using Segments = torch::Tensor;

// Zero-centred RMS norm over the last dimension of a float x; the result has type `compute`
// (architecture.md 4.2).
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps,
                       torch::ScalarType compute);

// silu(gate) * up of rows [gate | up].
torch::Tensor swiglu(const torch::Tensor& gate_up);

// Everything of a Gated-DeltaNet mixer between its two projections (architecture.md 4.6).
// projected: [rows, qkv | z | b | a]; conv: [channels, kernel]. Returns [rows, value_heads *
// value_dim].
torch::Tensor gdn_core(const torch::Tensor& projected, const torch::Tensor& conv,
                       const torch::Tensor& a_log, const torch::Tensor& dt_bias,
                       const torch::Tensor& norm, const Segments& segments, const DeltaShape& shape,
                       double eps);

// attention_forward with gradients; groups: int64 [groups, 4], last: int64 [rows]. extra_k and
// extra_v may be undefined.
torch::Tensor attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                        const torch::Tensor& extra_k, const torch::Tensor& extra_v,
                        const torch::Tensor& groups, const torch::Tensor& last);

struct HeadResult {
  torch::Tensor loss;  // scalar, float or double: sum of row_weights * cross entropy
  int64_t hits = 0;    // rows whose label is the head's first choice
};
// Output head and cross entropy in one: the logits' gradient replaces the logits at once, so that
// they are not kept. hidden: [rows, width], head: [vocabulary, width] in compute type; labels:
// int64 [rows]; row_weights: float [rows].
HeadResult head_loss(const torch::Tensor& hidden, const torch::Tensor& head,
                     const torch::Tensor& labels, const torch::Tensor& row_weights);

}  // namespace sluice::distill
