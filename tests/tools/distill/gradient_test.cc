// Gradients of every block against finite differences, in float64.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <vector>

#include "model/rotary.h"
#include "tools/distill/network.h"

namespace sluice::test {
namespace {

using distill::Sample;
using torch::Tensor;

Tensor random(std::vector<int64_t> shape, double scale = 1.0) {
  return (torch::randn(shape, torch::kDouble) * scale).set_requires_grad(true);
}

Tensor segments(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> bounds;
  int64_t at = 0;
  for (const int64_t length : lengths) {
    bounds.insert(bounds.end(), {at, at + length});
    at += length;
  }
  return torch::tensor(bounds, torch::kLong).view({-1, 2});
}

// Along random directions: the derivative by central differences of fourth order against the
// gradient's. Those of second order leave step^2 times the third derivative, which in a whole model
// (normalised keys of small length) is more than the bound. In float64 with step 1e-5 the
// difference itself is good to about 1e-9 of the value.
void expect_gradients(const std::vector<Tensor>& inputs, const std::function<Tensor()>& function) {
  const Tensor value = function();
  const auto gradients = torch::autograd::grad({value}, inputs, {}, false, false, true);
  const torch::NoGradGuard no_gradients;
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_TRUE(gradients[i].defined()) << "input " << i << " has no gradient";
    for (int direction = 0; direction < 3; ++direction) {
      const Tensor along = torch::randn_like(inputs[i]);
      Tensor place = inputs[i].detach();
      const Tensor kept = place.clone();
      const auto at = [&](double steps) {
        place.copy_(kept + along * (steps * kStep));
        return function().item<double>();
      };
      const double numeric = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * kStep);
      place.copy_(kept);
      const double exact = (gradients[i] * along).sum().item<double>();
      const double scale = gradients[i].norm().item<double>() + 1e-3;
      EXPECT_NEAR(exact, numeric, 1e-6 * scale) << "input " << i << ", direction " << direction;
    }
  }
}

class TrainerGradients : public ::testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(7); }
};

TEST_F(TrainerGradients, RmsNorm) {
  const Tensor x = random({5, 37}), w = random({37}), weigh = torch::randn({5, 37}, torch::kDouble);
  expect_gradients({x, w},
                   [&] { return (distill::rms_norm(x, w, 1e-6, torch::kDouble) * weigh).sum(); });
}

TEST_F(TrainerGradients, SwiGlu) {
  const Tensor x = random({5, 46}), weigh = torch::randn({5, 23}, torch::kDouble);
  expect_gradients({x}, [&] { return (distill::swiglu(x) * weigh).sum(); });
}

// Samples of one token, around a chunk's end, and of several chunks with a tail.
TEST_F(TrainerGradients, GatedDeltaNet) {
  const distill::DeltaShape shape{2, 6, 8, 12};
  const Tensor bounds = segments({1, 3, 64, 65, 150});
  const int64_t rows = 283, values = 72;
  const Tensor projected = random({rows, shape.channels() + values + 12});
  const Tensor conv = random({shape.channels(), 4}), a_log = random({6}), dt_bias = random({6});
  const Tensor norm = random({12}), weigh = torch::randn({rows, values}, torch::kDouble);
  expect_gradients({projected, conv, a_log, dt_bias, norm}, [&] {
    return (distill::gdn_core(projected, conv, a_log, dt_bias, norm, bounds, shape, 1e-6) * weigh)
        .sum();
  });
}

TEST_F(TrainerGradients, AttentionWithChains) {
  const Tensor q = random({7, 4, 8}), k = random({9, 2, 8}), v = random({9, 2, 8});
  const Tensor extra_k = random({7, 2, 2, 8}), extra_v = random({7, 2, 2, 8});
  const Tensor groups = torch::tensor({0, 3, 0, 4, 3, 7, 4, 9}, torch::kLong).view({2, 4});
  const Tensor last = torch::tensor({0, 2, 3, 4, 5, 5, 8}, torch::kLong);
  const Tensor weigh = torch::randn({7, 32}, torch::kDouble);
  expect_gradients({q, k, v, extra_k, extra_v}, [&] {
    return (distill::attention(q, k, v, extra_k, extra_v, groups, last) * weigh).sum();
  });
  expect_gradients(
      {q, k, v}, [&] { return (distill::attention(q, k, v, {}, {}, groups, last) * weigh).sum(); });
}

TEST_F(TrainerGradients, HeadAndCrossEntropy) {
  const Tensor hidden = random({6, 9}), head = random({31, 9});
  const Tensor labels = torch::tensor({3, 30, 0, 7, 7, 12}, torch::kLong);
  const Tensor weights = torch::tensor({0.5, 0.1, 0.0, 1.0, 0.2, 0.3}, torch::kDouble);
  expect_gradients({hidden, head},
                   [&] { return distill::head_loss(hidden, head, labels, weights).loss * 1.5; });
}

// All parameters of a small hybrid model with draft head, through both losses.
TEST_F(TrainerGradients, WholeModel) {
  model::TextConfig config;
  config.layers = 2, config.hidden = 16, config.intermediate = 24, config.vocabulary = 29;
  config.query_heads = 4, config.kv_heads = 2, config.head_dim = 8;
  config.gdn_key_heads = 2, config.gdn_value_heads = 6, config.gdn_key_dim = 4;
  config.gdn_value_dim = 8;
  config.layer_types = {model::LayerType::kLinearAttention, model::LayerType::kFullAttention};
  config.tied = true, config.mtp_layers = 1, config.context = 256;
  auto rotary = model::make_rotary_table({.theta = 1e4, .dims = 4, .sections = {1, 1, 0}});
  ASSERT_TRUE(rotary.ok()) << rotary.error().message();
  config.rotary = *std::move(rotary);
  distill::ParameterSet parameters =
      distill::make_parameters(config, {.seed = 3, .deviation = 0.3});
  std::vector<Tensor> inputs;
  for (distill::Parameter& parameter : parameters.all) {
    const Tensor shake = torch::randn(parameter.value.sizes()) * 0.1;
    parameter.value = (parameter.value.detach() + shake).to(torch::kDouble).set_requires_grad(true);
    inputs.push_back(parameter.value);
  }
  std::vector<Sample> samples(2);
  for (Sample& sample : samples) {
    const int64_t length = &sample == samples.data() ? 11 : 70;
    for (int64_t i = 0; i < length; ++i) {
      sample.tokens.push_back(static_cast<int32_t>((i * i + length) % 29));
      sample.weights.push_back(i < 4 ? 0.0f : 1.0f);
    }
  }
  const Sample* both[] = {&samples[0], &samples[1]};
  const distill::Batch batch =
      distill::make_batch(both, 3, distill::loss_totals(both, 3), torch::kDouble);
  const distill::Network network(config, parameters, torch::kDouble);
  expect_gradients(inputs, [&] { return network.losses(batch, {0.5, 0.3, 0.2}).total; });
}

}  // namespace
}  // namespace sluice::test
