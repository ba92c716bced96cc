// check_values, the operations of a GDN layer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/delta_bounds.h"
#include "ops/value_bounds.h"

namespace sluice::ops::testing {
namespace {

void check_conv(Backend& backend, const SuiteOptions& options, const RecurrentSpec& spec, Role role,
                int rows) {
  const int64_t channels = spec.conv_channels(), taps = spec.conv_kernel, kept = taps - 1;
  auto state = backend.create_recurrent_state(spec);
  ASSERT_TRUE(state.ok());
  const RecurrentImage image =
      random_values(16, static_cast<int64_t>(spec.state_bytes() / sizeof(float)));
  backend.import_slot(**state, 1, image);
  const auto raw = random_values(17, rows * channels, -2, 2),
             weight = random_values(18, channels * taps);
  const Piece piece{role, 5, std::vector<int32_t>(static_cast<size_t>(rows)), 1};
  const Batch batch = make_batch({&piece, 1});
  const Array raw_array(backend, rows, channels, raw),
      weight_array(backend, channels, taps, weight, 0);
  Array out(backend, rows, channels);
  backend.gdn_conv({&batch, raw_array, weight_array, state->get(), 1, out});
  // [old columns | rows] of each channel, written out.
  const size_t layer_size = image.size() / static_cast<size_t>(spec.layers);
  const size_t columns_at =
      layer_size + static_cast<size_t>(spec.value_heads * spec.key_dim * spec.value_dim);
  Doubles expected(raw.size()), bound(raw.size());
  std::vector<float> last;
  for (int64_t channel = 0; channel < channels; ++channel) {
    const auto columns = image.begin() + static_cast<ptrdiff_t>(columns_at) + channel * kept;
    std::vector<float> line(columns, columns + kept);
    for (int r = 0; r < rows; ++r) line.push_back(raw[static_cast<size_t>(r * channels + channel)]);
    for (int r = 0; r < rows; ++r) {
      double sum = 0, magnitude = 0;
      for (int64_t tap = 0; tap < taps; ++tap) {
        const double term = double{weight[static_cast<size_t>(channel * taps + tap)]} *
                            line[static_cast<size_t>(r + tap)];
        sum += term;
        magnitude += std::abs(term);
      }
      const auto at = static_cast<size_t>(r * channels + channel);
      expected[at] = sum * sigmoid(sum);
      bound[at] = magnitude * 1.1 * static_cast<double>(taps + 1) * options.unit +
                  std::abs(expected[at]) * function_error(options);
    }
    last.insert(last.end(), line.end() - kept, line.end());
  }
  expect_within(out.get(), expected, bound, "gdn_conv");
  EXPECT_TRUE(out.gaps_untouched());
  // Prompts write the columns, answers only after a commit.
  const auto columns = [&] {
    const RecurrentImage now = backend.export_slot(**state, 1);
    return std::vector<float>(now.begin() + static_cast<ptrdiff_t>(columns_at),
                              now.begin() + static_cast<ptrdiff_t>(2 * layer_size));
  };
  const std::vector<float> old(image.begin() + static_cast<ptrdiff_t>(columns_at),
                               image.begin() + static_cast<ptrdiff_t>(2 * layer_size));
  EXPECT_EQ(bits_of(columns()), bits_of(role == Role::kPrompt ? last : old));
}

void check_gdn_input(Backend& backend, const SuiteOptions& options, int64_t key_heads,
                     int64_t value_heads, int64_t dim, int64_t value_width) {
  const int64_t rows = 4, width = key_heads * dim, channels = 2 * width + value_width;
  auto conv = random_values(19, rows * channels);
  for (int64_t i = 0; i < dim; ++i) conv[static_cast<size_t>(i)] *= 1e-4f;  // epsilon shows
  for (int64_t i = 0; i < dim; ++i) conv[static_cast<size_t>(width + i)] = 0;
  const auto a = random_values(20, rows * value_heads, -30, 30),
             b = random_values(21, rows * value_heads, -30, 30),
             decay = random_values(22, value_heads, -9, -0.01f),
             bias = random_values(23, value_heads, -2, 2);
  const Array conv_array(backend, rows, channels, conv), a_array(backend, rows, value_heads, a),
      b_array(backend, rows, value_heads, b), decay_array(backend, 1, value_heads, decay),
      bias_array(backend, 1, value_heads, bias);
  Array query(backend, rows, width), key(backend, rows, width), beta(backend, rows, value_heads),
      g(backend, rows, value_heads);
  backend.gdn_input(
      {conv_array, a_array, b_array, decay_array, bias_array, key_heads, dim, query, key, beta, g});
  const double terms = (static_cast<double>(dim) / 2 + 10) * options.unit;
  for (const bool is_query : {true, false}) {
    Doubles expected, bound;
    for (int64_t at = 0; at < rows * key_heads; ++at) {
      const int64_t from =
          at / key_heads * channels + (is_query ? 0 : width) + at % key_heads * dim;
      double squares = 1e-6;
      for (int64_t i = 0; i < dim; ++i) {
        squares += std::pow(double{conv[static_cast<size_t>(from + i)]}, 2);
      }
      const double scale = is_query ? 1 / std::sqrt(static_cast<double>(dim)) : 1.0;
      for (int64_t i = 0; i < dim; ++i) {
        expected.push_back(conv[static_cast<size_t>(from + i)] / std::sqrt(squares) * scale);
        bound.push_back(std::abs(expected.back()) * terms);
      }
    }
    expect_within((is_query ? query : key).get(), expected, bound, is_query ? "query" : "key");
  }
  Doubles beta_values, beta_bound, g_values, g_bound;
  for (size_t i = 0; i < a.size(); ++i) {
    const size_t h = i % static_cast<size_t>(value_heads);
    beta_values.push_back(sigmoid(b[i]));
    beta_bound.push_back(beta_values.back() * function_error(options));
    const double x = double{a[i]} + bias[h];
    const double softplus = x > 20 ? x : std::log1p(std::exp(x));
    g_values.push_back(decay[h] * softplus);
    g_bound.push_back(std::abs(decay[h]) *
                      (2 * options.unit * (std::abs(a[i]) + std::abs(bias[h])) * sigmoid(x) +
                       softplus * function_error(options)));
  }
  expect_within(beta.get(), beta_values, beta_bound, "beta");
  expect_within(g.get(), g_values, g_bound, "g");
  EXPECT_TRUE(query.gaps_untouched() && key.gaps_untouched() && beta.gaps_untouched() &&
              g.gaps_untouched());
}

void check_delta(Backend& backend, const SuiteOptions& options, const RecurrentSpec& spec,
                 Role role, int32_t first_index, int rows) {
  SCOPED_TRACE(std::string(role == Role::kAnswer ? "answer" : "prompt") + " of " +
               std::to_string(rows) + " rows from " + std::to_string(first_index) + ", heads " +
               std::to_string(spec.key_heads) + "/" + std::to_string(spec.value_heads) + " of " +
               std::to_string(spec.key_dim) + "/" + std::to_string(spec.value_dim));
  auto state = backend.create_recurrent_state(spec);
  ASSERT_TRUE(state.ok());
  const RecurrentImage image =
      random_values(24, static_cast<int64_t>(spec.state_bytes() / sizeof(float)));
  backend.import_slot(**state, 0, image);
  const DeltaInputs in = random_delta_inputs(spec, rows, 25);
  const Piece piece{role, first_index, std::vector<int32_t>(static_cast<size_t>(rows)), 0};
  const Batch batch = make_batch({&piece, 1});
  const Array query(backend, rows, spec.key_width(), in.query),
      key(backend, rows, spec.key_width(), in.key),
      value(backend, rows, spec.value_width(), in.value),
      beta(backend, rows, spec.value_heads, in.beta), g(backend, rows, spec.value_heads, in.g);
  Array out(backend, rows, spec.value_width());
  backend.gdn_delta({&batch, query, key, value, beta, g, state->get(), 1, out});

  const size_t layer_size = image.size() / static_cast<size_t>(spec.layers);
  const size_t state_size = static_cast<size_t>(spec.value_heads * spec.key_dim * spec.value_dim);
  const auto layer_state = [&](const RecurrentImage& of) {
    return std::vector<float>(of.begin() + static_cast<ptrdiff_t>(layer_size),
                              of.begin() + static_cast<ptrdiff_t>(layer_size + state_size));
  };
  const DeltaBounds expected = role == Role::kAnswer
                                   ? sequential_bounds(spec, layer_state(image), in, rows,
                                                       options.unit, options.step_term_error)
                                   : chunked_bounds(spec, layer_state(image), in, rows, first_index,
                                                    options.unit, options.chunk_term_error);
  expect_within(out.get(), expected.out, expected.out_bound, "gdn_delta");
  EXPECT_TRUE(out.gaps_untouched());
  const RecurrentImage after = backend.export_slot(**state, 0);
  if (role == Role::kPrompt) {
    expect_within(layer_state(after), expected.state, expected.state_bound, "state");
  } else {
    EXPECT_EQ(bits_of(after), bits_of(image)) << "an answer segment wrote its rows";
  }
}

void check_gdn_norm(Backend& backend, const SuiteOptions& options, int64_t heads, int64_t dim) {
  const int64_t rows = 3;
  const auto core = random_values(26, rows * heads * dim, -0.01f, 0.01f),
             z = random_values(27, rows * heads * dim, -9, 9),
             weight = random_values(28, dim, -2, 2);
  const Array core_array(backend, rows, heads * dim, core), z_array(backend, rows, heads * dim, z),
      weight_array(backend, 1, dim, weight);
  Array out(backend, rows, heads * dim);
  backend.gdn_norm({core_array, z_array, weight_array, kNormEpsilon, out});
  Doubles expected, bound;
  for (int64_t at = 0; at < rows * heads; ++at) {
    const Normed head = rms_normed(
        options, slice(wide(core), static_cast<size_t>(at * dim), static_cast<size_t>(dim)),
        wide(weight));
    for (int64_t i = 0; i < dim; ++i) {
      const double gate = z[static_cast<size_t>(at * dim + i)];
      const double factor = gate * sigmoid(gate);
      expected.push_back(head.values[static_cast<size_t>(i)] * factor);
      bound.push_back(head.bound[static_cast<size_t>(i)] * std::abs(factor) +
                      std::abs(expected.back()) * function_error(options));
    }
  }
  expect_within(out.get(), expected, bound, "gdn_norm");
  EXPECT_TRUE(out.gaps_untouched());
}

}  // namespace

void check_gdn_values(Backend& backend, const SuiteOptions& options) {
  struct Shape {
    int key_heads, value_heads, key_dim, value_dim;
    HeadOrder order;
  };
  for (const Shape& s :
       {Shape{2, 2, 32, 64, HeadOrder::kGrouped}, Shape{2, 6, 24, 40, HeadOrder::kGrouped},
        Shape{2, 6, 24, 40, HeadOrder::kTiled}, Shape{3, 6, 16, 17, HeadOrder::kGrouped},
        Shape{1, 2, 128, 128, HeadOrder::kTiled}}) {
    RecurrentSpec spec;
    spec.layers = 2;
    spec.key_heads = s.key_heads;
    spec.value_heads = s.value_heads;
    spec.key_dim = s.key_dim;
    spec.value_dim = s.value_dim;
    spec.head_order = s.order;
    spec.slots = 2;
    spec.pending_rows = 9;
    for (const int rows : {1, 2, 3, 9}) {
      check_conv(backend, options, spec, Role::kAnswer, rows);
      check_delta(backend, options, spec, Role::kAnswer, 70, rows);
    }
    for (const int rows : {1, 2, 9, 64, 67, 130}) {
      check_conv(backend, options, spec, Role::kPrompt, rows);
      check_delta(backend, options, spec, Role::kPrompt, 0, rows);
    }
    check_delta(backend, options, spec, Role::kPrompt, 37, 70);
    check_gdn_input(backend, options, s.key_heads, s.value_heads, s.key_dim,
                    s.value_heads * s.value_dim);
    check_gdn_norm(backend, options, s.value_heads, s.value_dim);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace sluice::ops::testing
