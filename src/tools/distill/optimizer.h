// AdamW over the parameters, with the schedule of learning rates.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "tools/distill/parameters.h"
#include "tools/distill/train_config.h"

namespace sluice::distill {

// Linear warm-up, then a cosine from learning_rate to final_learning_rate at the last step. Steps
// count from 0.
double learning_rate_at(const TrainConfig& config, int64_t step);

// First and second moments, one pair per parameter.
struct Moments {
  std::vector<torch::Tensor> first, second;
};
Moments zero_moments(const ParameterSet& parameters);

// One step with gradients of the same shapes; returns their norm before clipping. A parameter whose
// gradient is undefined stays as it is: no decay of what nothing has been asked of. `step` counts
// from 0. Weight decay only on matrices: norms, gates, decays and taps have no scale to hold down.
double adamw_step(const TrainConfig& config, int64_t step,
                  const std::vector<torch::Tensor>& gradients, ParameterSet& parameters,
                  Moments& moments);

}  // namespace sluice::distill
