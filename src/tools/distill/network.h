// The model in differentiable form: text model and draft head (architecture.md section 4, mtp.md
// sections 2 to 4).
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "tools/distill/batch.h"
#include "tools/distill/parameters.h"

namespace sluice::distill {

struct BatchLosses {
  torch::Tensor total;        // scalar: what the gradient is taken of
  double text = 0;            // its parts, unweighted
  std::vector<double> draft;  // one per step of the draft head
  int64_t text_hits = 0;
  std::vector<int64_t> draft_hits;
};

class Network {
 public:
  // Both are borrowed. `compute` is the type of the matrix products: kFloat, kBFloat16, or kDouble
  // with parameters in double.
  Network(const model::TextConfig& config, const ParameterSet& parameters,
          torch::ScalarType compute);

  // Hidden vectors of all rows after the final norm, float [rows, hidden].
  torch::Tensor hidden(const Batch& batch) const;
  // Logits of given hidden vectors, float [rows, vocabulary].
  torch::Tensor logits(const torch::Tensor& hidden) const;

  // The draft head's m for the starts of the batch, one tensor [starts, hidden] per step; each step
  // is fed with the batch's tokens (teacher forcing) and the step before.
  std::vector<torch::Tensor> draft(const Batch& batch, const torch::Tensor& hidden) const;

  // All losses of a batch; `draft_weights`: one per step of the draft head.
  BatchLosses losses(const Batch& batch, const std::vector<double>& draft_weights) const;

 private:
  struct Rotation {
    torch::Tensor cosine, sine;  // [rows, 1, pairs]
  };
  struct DraftKeys {
    torch::Tensor k, v;
  };

  const torch::Tensor& value(size_t index) const { return parameters_.all[index].value; }
  torch::Tensor norm(const torch::Tensor& x, size_t weight, torch::ScalarType type) const;
  torch::Tensor linear(const torch::Tensor& x, size_t weight) const;
  Rotation rotation(const torch::Tensor& positions) const;
  torch::Tensor rotate(const torch::Tensor& x, const Rotation& rotation) const;
  torch::Tensor mlp(const torch::Tensor& x, const MlpIndex& index) const;
  torch::Tensor gdn_mixer(const torch::Tensor& x, const GdnIndex& index, const Batch& batch) const;
  // Projected, normed, rotated.
  struct Query {
    torch::Tensor q, gate;
  };
  Query query(const torch::Tensor& x, const AttentionIndex& index, const Rotation& rotation) const;
  DraftKeys keys(const torch::Tensor& x, const AttentionIndex& index,
                 const Rotation& rotation) const;
  torch::Tensor attention_out(const torch::Tensor& heads, const torch::Tensor& gate,
                              const AttentionIndex& index) const;
  torch::Tensor draft_input(const torch::Tensor& embedding, const torch::Tensor& hidden) const;

  const model::TextConfig& config_;
  const ParameterSet& parameters_;
  torch::ScalarType compute_, precise_;
  torch::Tensor frequencies_;  // float [pairs]
  DeltaShape delta_;
};

}  // namespace sluice::distill
