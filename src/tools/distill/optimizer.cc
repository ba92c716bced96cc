#include "tools/distill/optimizer.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <numbers>

namespace sluice::distill {

double learning_rate_at(const TrainConfig& config, int64_t step) {
  if (step < config.warmup_steps) {
    return config.learning_rate * static_cast<double>(step + 1) /
           static_cast<double>(config.warmup_steps);
  }
  const double span =
      std::max<double>(1.0, static_cast<double>(config.steps - config.warmup_steps));
  const double done = std::min(1.0, static_cast<double>(step - config.warmup_steps) / span);
  const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * wave;
}

Moments zero_moments(const ParameterSet& parameters) {
  Moments moments;
  for (const Parameter& parameter : parameters.all) {
    moments.first.push_back(torch::zeros_like(parameter.value.detach()));
    moments.second.push_back(torch::zeros_like(parameter.value.detach()));
  }
  return moments;
}

double adamw_step(const TrainConfig& config, int64_t step,
                  const std::vector<torch::Tensor>& gradients, ParameterSet& parameters,
                  Moments& moments) {
  const torch::NoGradGuard no_gradients;
  double square = 0;
  for (const torch::Tensor& gradient : gradients) {
    if (!gradient.defined()) continue;
    const double norm = gradient.norm().item<double>();
    square += norm * norm;
  }
  const double norm = std::sqrt(square);
  const double factor = config.clip > 0 && norm > config.clip ? config.clip / norm : 1.0;
  const double rate = learning_rate_at(config, step);
  const double count = static_cast<double>(step + 1);
  const double first_bias = 1.0 - std::pow(config.beta1, count);
  const double second_bias = 1.0 - std::pow(config.beta2, count);
  for (size_t i = 0; i < parameters.all.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const Parameter& parameter = parameters.all[i];
    torch::Tensor value = parameter.value.detach();
    torch::Tensor gradient = gradients[i] * factor;
    torch::Tensor &first = moments.first[i], &second = moments.second[i];
    first.mul_(config.beta1).add_(gradient, 1.0 - config.beta1);
    second.mul_(config.beta2).addcmul_(gradient, gradient, 1.0 - config.beta2);
    if (parameter.kind == ParameterKind::kMatrix) value.mul_(1.0 - rate * config.weight_decay);
    const torch::Tensor root = (second / second_bias).sqrt_().add_(config.epsilon);
    value.addcdiv_(first, root, -rate / first_bias);
  }
  return norm;
}

}  // namespace sluice::distill
