// Every operation against its formula, written down a second time in double, within a bound that
// follows from the sizes of the terms.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/attention_layer.h"
#include "ops/backend_suite.h"
#include "ops/delta_bounds.h"

namespace sluice::ops::testing {
namespace {

constexpr double kStored = 0x1p-24;  // rounding of a result to F32
// Functions (exp, log, sine): some units in the last place.
double function_error(const SuiteOptions& options) { return 8 * options.unit; }
// Results below the normal range may be flushed to zero.
constexpr double kTiny = 0x1p-120;

using Doubles = std::vector<double>;

Doubles wide(const std::vector<float>& values) { return {values.begin(), values.end()}; }

void expect_within(const std::vector<float>& got, const Doubles& expected, const Doubles& bound,
                   const char* what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    // Written so that NaN fails.
    ASSERT_TRUE(std::abs(got[i] - expected[i]) <=
                bound[i] + std::abs(expected[i]) * kStored + kTiny)
        << what << " element " << i << ": " << got[i] << ", expected " << expected[i] << " within "
        << bound[i];
  }
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The RMS norm of a vector times weights; any order of F32 summation.
struct Normed {
  Doubles values, bound;
};
Normed rms_normed(const SuiteOptions& options, const Doubles& x, const Doubles& weight) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double root = std::sqrt(squares / static_cast<double>(x.size()) + double{kNormEpsilon});
  Normed out;
  for (size_t i = 0; i < x.size(); ++i) {
    out.values.push_back(x[i] / root * weight[i]);
    out.bound.push_back(std::abs(out.values.back()) * (static_cast<double>(x.size()) / 2 + 8) *
                        options.unit);
  }
  return out;
}

Doubles slice(const Doubles& of, size_t first, size_t count) {
  return {of.begin() + static_cast<ptrdiff_t>(first),
          of.begin() + static_cast<ptrdiff_t>(first + count)};
}

// ---- rows

void check_embed(Backend& backend, Format format) {
  const Weight table(format, 19, 45, 1);
  const auto matrix = table.load(backend, MatrixUse::kLookup);
  const std::vector<int32_t> tokens = {3, 18, 0, 3};
  Array out(backend, 4, 45);
  backend.embed({matrix.get(), tokens, out});
  std::vector<float> expected;
  for (const int32_t token : tokens) {
    const auto row = table.values.begin() + token * 45;
    expected.insert(expected.end(), row, row + 45);
  }
  EXPECT_EQ(bits_of(out.get()), bits_of(expected));
  EXPECT_TRUE(out.gaps_untouched());
}

void check_rms_norm(Backend& backend, const SuiteOptions& options, int64_t rows, int64_t width) {
  auto x = random_values(2, rows * width, -3, 3), delta = random_values(3, rows * width);
  const auto weight = random_values(4, width, -1, 2);
  for (int64_t i = 0; i < width; ++i) {  // a first row so small that epsilon shows
    x[static_cast<size_t>(i)] *= 1e-3f;
    delta[static_cast<size_t>(i)] *= 1e-3f;
  }
  std::vector<float> sum = x;
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += delta[i];
  const Array delta_array(backend, rows, width, delta), weight_array(backend, 1, width, weight);
  for (const bool with_delta : {false, true}) {
    Array x_array(backend, rows, width, x), out(backend, rows, width);
    backend.rms_norm(
        {x_array, with_delta ? delta_array.view() : View{}, weight_array, kNormEpsilon, out});
    const std::vector<float>& input = with_delta ? sum : x;
    EXPECT_EQ(bits_of(x_array.get()), bits_of(input));
    Normed all;
    for (int64_t r = 0; r < rows; ++r) {
      const Normed one = rms_normed(
          options, slice(wide(input), static_cast<size_t>(r * width), static_cast<size_t>(width)),
          wide(weight));
      all.values.insert(all.values.end(), one.values.begin(), one.values.end());
      all.bound.insert(all.bound.end(), one.bound.begin(), one.bound.end());
    }
    expect_within(out.get(), all.values, all.bound, "rms_norm");
    EXPECT_TRUE(out.gaps_untouched() && x_array.gaps_untouched());
  }
  // The addition alone.
  Array x_array(backend, rows, width, x);
  backend.rms_norm({x_array, delta_array, {}, kNormEpsilon, {}});
  EXPECT_EQ(bits_of(x_array.get()), bits_of(sum));
}

void check_swiglu(Backend& backend, const SuiteOptions& options, int64_t rows, int64_t width) {
  auto gate = random_values(5, rows * width, -20, 20);
  const auto up = random_values(6, rows * width);
  for (size_t i = 0; i < std::min<size_t>(gate.size(), 4); ++i) {
    gate[i] = std::vector<float>{0.0f, -104.0f, 90.0f, -88.5f}[i];
  }
  const Array gate_array(backend, rows, width, gate), up_array(backend, rows, width, up);
  Array out(backend, rows, width);
  backend.swiglu({gate_array, up_array, out});
  Doubles expected, bound;
  for (size_t i = 0; i < gate.size(); ++i) {
    expected.push_back(gate[i] * sigmoid(gate[i]) * up[i]);
    bound.push_back(std::abs(expected.back()) * function_error(options));
  }
  expect_within(out.get(), expected, bound, "swiglu");
  EXPECT_TRUE(out.gaps_untouched());
  const Array in_place(backend, rows, width, gate);
  backend.swiglu({in_place, up_array, in_place});
  EXPECT_EQ(bits_of(in_place.get()), bits_of(out.get()));
}

void check_gather_and_argmax(Backend& backend) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  // Ties, NaN in every place, infinities, a tail beyond a vector, and negative values only.
  std::vector<std::vector<float>> logits = {
      {1, 3, 3, 2, 3},
      {nan, 2, nan, 5, 5},
      {-infinity, -infinity, -4, nan, -4},
      {infinity, nan, infinity, 1, 2},
      {nan, -infinity, nan, -infinity, nan},
      {-2, -1, -1, -3, nan},
  };
  const std::vector<int32_t> expected = {1, 3, 2, 0, 1, 1};
  for (const int64_t width : {5, 16, 37, 4099}) {
    std::vector<float> dense;
    std::vector<int32_t> at;
    for (size_t r = 0; r < logits.size(); ++r) {
      // The interesting values end the row: everything before them is lower.
      for (int64_t i = 0; i < width - 5; ++i) dense.push_back(nan);
      dense.insert(dense.end(), logits[r].begin(), logits[r].end());
      at.push_back(expected[r] + static_cast<int32_t>(width - 5));
    }
    const auto rows = static_cast<int64_t>(logits.size());
    const Array array(backend, rows, width, dense);
    std::vector<int32_t> tokens(logits.size(), -1);
    backend.argmax({array, tokens});
    EXPECT_EQ(tokens, at) << "width " << width;

    const std::vector<int32_t> which = {4, 0, 0, 5};
    Array gathered(backend, 4, width);
    backend.gather_rows({array, which, gathered});
    std::vector<float> copy;
    for (const int32_t r : which) {
      copy.insert(copy.end(), dense.begin() + r * width, dense.begin() + (r + 1) * width);
    }
    EXPECT_EQ(bits_of(gathered.get()), bits_of(copy));
    EXPECT_TRUE(gathered.gaps_untouched());
  }
  // The first of equal maxima, wherever they lie.
  Random random(5);
  for (int round = 0; round < 50; ++round) {
    std::vector<float> row(517, 0.0f);
    int first = 517;
    for (int i = 0; i < 3; ++i) {
      const int place = random.below(517);
      row[static_cast<size_t>(place)] = 1.0f;
      first = std::min(first, place);
    }
    std::vector<int32_t> tokens(1, -1);
    backend.argmax({Array(backend, 1, 517, row), tokens});
    ASSERT_EQ(tokens[0], first);
  }
}

// ---- products

void check_matmul(Backend& backend, const SuiteOptions& options, Format format, int64_t rows,
                  int64_t answer_rows, int64_t features, int64_t columns) {
  SCOPED_TRACE(std::string(format_name(format)) + " " + std::to_string(rows) + " rows, " +
               std::to_string(features) + " x " + std::to_string(columns));
  const Weight weight(format, features, columns, 7);
  const auto matrix = weight.load(backend, MatrixUse::kProduct);
  EXPECT_EQ(matrix->bytes(), backend.matrix_bytes(weight.encoded(), MatrixUse::kProduct));
  ASSERT_TRUE(backend.reserve_scratch(rows, columns).ok());
  const auto x = random_values(8, rows * columns, -2, 2);
  const Array x_array(backend, rows, columns, x);
  Array out(backend, rows, features);
  const Product product{matrix.get(), out};
  backend.matmul({x_array, {&product, 1}, answer_rows});
  Doubles expected, bound;
  for (int64_t r = 0; r < rows; ++r) {
    const float* input = x.data() + r * columns;
    Doubles block_peak(static_cast<size_t>(columns / 32 + 1));
    for (int64_t k = 0; k < columns; ++k) {
      double& peak = block_peak[static_cast<size_t>(k / 32)];
      peak = std::max(peak, std::abs(double{input[k]}));
    }
    for (int64_t n = 0; n < features; ++n) {
      double sum = 0, magnitude = 0, digits = 0;
      for (int64_t k = 0; k < columns; ++k) {
        const double w = weight.values[static_cast<size_t>(n * columns + k)];
        sum += input[k] * w;
        magnitude += std::abs(input[k] * w);
        digits += block_peak[static_cast<size_t>(k / 32)] * std::abs(w);
      }
      const double terms = static_cast<double>(columns) + 8;
      expected.push_back(sum);
      bound.push_back(magnitude * (options.product_term_error + terms * options.unit) +
                      digits * options.product_digit_error);
    }
  }
  expect_within(out.get(), expected, bound, "matmul");
  EXPECT_TRUE(out.gaps_untouched());
}

// ---- attention

// Query or key heads of the rows after the norm, and after the rotation.
void check_heads(const SuiteOptions& options, const std::vector<float>& normed,
                 const std::vector<float>& rotated, const std::vector<float>& raw,
                 int64_t raw_stride, const std::vector<float>& weight, const RotaryTable& table,
                 const Batch& batch, int64_t heads, int64_t dim) {
  Doubles norm_values, norm_bound, values, bound;
  for (int64_t at = 0; at < batch.row_count() * heads; ++at) {
    const Row& row = batch.rows[static_cast<size_t>(at / heads)];
    Normed head = rms_normed(
        options, slice(wide(raw), static_cast<size_t>(at * raw_stride), static_cast<size_t>(dim)),
        wide(weight));
    norm_values.insert(norm_values.end(), head.values.begin(), head.values.end());
    norm_bound.insert(norm_bound.end(), head.bound.begin(), head.bound.end());
    const size_t pairs = table.inverse_frequencies.size();
    for (size_t m = 0; m < pairs; ++m) {
      // A float32 product, whatever the angle's size (architecture.md 4.5).
      const float angle =
          static_cast<float>(row.rope[table.components[m]]) * table.inverse_frequencies[m];
      const double c = std::cos(double{angle}) * table.attention_factor,
                   s = std::sin(double{angle}) * table.attention_factor;
      const double low = head.values[m], high = head.values[m + pairs];
      // Stored in F32 on the way: the normed head, cos and sin, and these times the factor.
      const double slack =
          (head.bound[m] + head.bound[m + pairs] +
           (std::abs(low) + std::abs(high)) * (3 * kStored + function_error(options))) *
          table.attention_factor;
      head.values[m] = low * c - high * s;
      head.values[m + pairs] = high * c + low * s;
      head.bound[m] = head.bound[m + pairs] = slack;
    }
    values.insert(values.end(), head.values.begin(), head.values.end());
    bound.insert(bound.end(), head.bound.begin(), head.bound.end());
  }
  expect_within(normed, norm_values, norm_bound, "normed heads");
  expect_within(rotated, values, bound, "rotated heads");
}

// Softmax attention of one query over a cache's own (rounded) keys and values.
void check_row(const SuiteOptions& options, const float* got, const float* query,
               const std::vector<float>& keys, const std::vector<float>& values, int64_t first,
               int64_t end, int64_t stride, int64_t dim) {
  Doubles scores, score_bound;
  for (int64_t j = first; j < end; ++j) {
    double sum = 0, magnitude = 0;
    for (int64_t i = 0; i < dim; ++i) {
      const double term = double{query[i]} * keys[static_cast<size_t>(j * stride + i)];
      sum += term;
      magnitude += std::abs(term);
    }
    const double scale = 1 / std::sqrt(static_cast<double>(dim));
    scores.push_back(sum * scale);
    score_bound.push_back(
        magnitude * scale *
        (options.attention_term_error + (static_cast<double>(dim) + 8) * options.unit));
  }
  const double peak = *std::max_element(scores.begin(), scores.end());
  double total = 0, worst = 0;
  for (size_t j = 0; j < scores.size(); ++j) {
    // Subtracting the peak in F32 costs a unit of the larger score.
    worst = std::max(worst, score_bound[j] + (std::abs(scores[j]) + std::abs(peak)) * options.unit);
    scores[j] = std::exp(scores[j] - peak);
    total += scores[j];
  }
  const double relative = 2 * std::expm1(2 * worst) + options.attention_term_error +
                          function_error(options) +
                          (static_cast<double>(2 * (end - first)) + 8) * options.unit;
  for (int64_t i = 0; i < dim; ++i) {
    double sum = 0, magnitude = 0;
    for (int64_t j = first; j < end; ++j) {
      const double term = scores[static_cast<size_t>(j - first)] / total *
                          values[static_cast<size_t>(j * stride + i)];
      sum += term;
      magnitude += std::abs(term);
    }
    ASSERT_TRUE(std::abs(got[i] - sum) <= magnitude * relative + std::abs(sum) * kStored + kTiny)
        << "attention element " << i << ": " << got[i] << ", expected " << sum << " within "
        << magnitude * relative;
  }
}

void check_attention(Backend& backend, const SuiteOptions& options, const AttentionShape& shape,
                     KvFormat format, int64_t first_index) {
  SCOPED_TRACE("heads " + std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) +
               " of " + std::to_string(shape.head_dim) + ", kv format " +
               std::to_string(static_cast<int>(format)) + ", first index " +
               std::to_string(first_index));
  KvSpec spec = shape.kv_spec(2, 8, format);
  if (format == KvFormat::kFp8) {
    spec.key_scales = {1.0f, 0.03f};
    spec.value_scales = {1.0f, 0.007f};
  }
  AttentionLayer layer(backend, shape, spec, 13);
  const auto first = static_cast<int32_t>(first_index);
  const std::vector<int32_t> pages_a = {6, 1, 4}, pages_b = {2, 0};
  std::vector<int32_t> tokens(131);
  for (int i = 0; i < 131; ++i) tokens[static_cast<size_t>(i)] = i;
  // A prompt of one sequence; then answers of it beside a prompt of another, far from the origin
  // and with three different position components.
  const Piece prompt{Role::kPrompt, first, tokens, 0, 0, pages_a};
  const std::vector<Piece> mixed = {
      {Role::kAnswer, first + 131, {501, 502, 503}, 0, 0, pages_a, {100000, 100003, 99998}},
      {Role::kPrompt, first, {600, 601, 602, 603, 604}, 1, 0, pages_b, {262000, 7, 31000}}};
  for (const auto& pieces : {std::vector<Piece>{prompt}, mixed}) {
    const AttentionLayer::Inputs in = layer.write(pieces, 1);
    const Batch batch = make_batch(pieces);
    const int64_t dim = shape.head_dim, width = shape.heads * dim;
    check_heads(options, in.query_normed, in.query, in.raw_query_gate, 2 * dim,
                layer.query_weight(), layer.rotary(), batch, shape.heads, dim);
    check_heads(options, in.key_normed, in.key, in.raw_key, dim, layer.key_weight(), layer.rotary(),
                batch, shape.kv_heads, dim);
    if (::testing::Test::HasFailure()) return;
    const Array query(backend, batch.row_count(), width, in.query);
    Array out(backend, batch.row_count(), width);
    backend.attention({&batch, query, &layer.cache(), 1, first_index, out});
    EXPECT_TRUE(out.gaps_untouched());
    const std::vector<float> got = out.get();
    for (const Segment& segment : batch.segments) {
      const std::span<const int32_t> pages = std::span(batch.pages)
                                                 .subspan(static_cast<size_t>(segment.first_page),
                                                          static_cast<size_t>(segment.page_count));
      const int64_t end = segment.first_index + segment.row_count;
      const auto keys = backend.export_keys(layer.cache(), 1, pages, end);
      const auto values = backend.export_values(layer.cache(), 1, pages, end);
      for (int64_t i = 0; i < segment.row_count; ++i) {
        for (int64_t h = 0; h < shape.heads; ++h) {
          const int64_t at = (segment.first_row + i) * width + h * dim;
          const int64_t kv = h / (shape.heads / shape.kv_heads) * dim;
          const std::vector<float> head_keys(keys.begin() + kv, keys.end()),
              head_values(values.begin() + kv, values.end());
          check_row(options, got.data() + at, in.query.data() + at, head_keys, head_values,
                    first_index, segment.first_index + i + 1, shape.kv_heads * dim, dim);
          if (::testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

void check_attention_gate(Backend& backend, const SuiteOptions& options, int64_t heads,
                          int64_t dim) {
  const int64_t rows = 3;
  const auto x = random_values(14, rows * heads * dim),
             query_gate = random_values(15, rows * 2 * heads * dim, -12, 12);
  const Array x_array(backend, rows, heads * dim, x),
      gate_array(backend, rows, 2 * heads * dim, query_gate);
  Doubles expected, bound;
  for (int64_t at = 0; at < rows * heads; ++at) {
    for (int64_t i = 0; i < dim; ++i) {
      expected.push_back(x[static_cast<size_t>(at * dim + i)] *
                         sigmoid(query_gate[static_cast<size_t>((2 * at + 1) * dim + i)]));
      bound.push_back(std::abs(expected.back()) * function_error(options));
    }
  }
  Array out(backend, rows, heads * dim);
  backend.attention_gate({x_array, gate_array, dim, out});
  expect_within(out.get(), expected, bound, "attention_gate");
  EXPECT_TRUE(out.gaps_untouched());
  backend.attention_gate({x_array, gate_array, dim, x_array});
  EXPECT_EQ(bits_of(x_array.get()), bits_of(out.get()));
}

// ---- GDN

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

void check_gdn(Backend& backend, const SuiteOptions& options) {
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

}  // namespace

void check_values(const BackendFactory& make_backend, const SuiteOptions& options) {
  const auto backend = make_backend();
  for (const Format format : options.product_formats) {
    check_embed(*backend, format);
    for (const int64_t columns : {32, 83, 256, 1024}) {
      check_matmul(*backend, options, format, 1, 1, 37, columns);
      check_matmul(*backend, options, format, 9, 4, 48, columns);
    }
    for (const int64_t answer_rows : {0, 5, 64, 130}) {
      check_matmul(*backend, options, format, 130, answer_rows, 33, 160);
    }
  }
  for (const int64_t width : {1, 15, 64, 83, 1000}) {
    check_rms_norm(*backend, options, 3, width);
    check_swiglu(*backend, options, 3, width);
  }
  check_gather_and_argmax(*backend);
  for (const KvFormat format : options.kv_formats) {
    for (const int64_t first_index : {0, 1}) {
      check_attention(*backend, options, {6, 2, 32, 4}, format, first_index);
    }
    check_attention(*backend, options, {3, 1, 64, 16}, format, 0);
    check_attention(*backend, options, {2, 2, 40, 10}, format, 0);
    check_attention(*backend, options, {2, 1, 256, 32}, format, 0);
  }
  check_attention_gate(*backend, options, 3, 40);
  check_attention_gate(*backend, options, 2, 256);
  check_gdn(*backend, options);
}

void run_suite(const BackendFactory& make_backend, const SuiteOptions& options) {
  check_values(make_backend, options);
  check_memory(make_backend, options);
  check_deferred_commit(make_backend);
  check_chunk_grid(make_backend);
  check_company(make_backend, options);
}

}  // namespace sluice::ops::testing
