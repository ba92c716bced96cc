// check_values, the attention operations.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/value_bounds.h"

namespace sluice::ops::testing {
namespace {

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

}  // namespace

void check_attention_values(Backend& backend, const SuiteOptions& options) {
  for (const KvFormat format : options.kv_formats) {
    for (const int64_t first_index : {0, 1}) {
      check_attention(backend, options, {6, 2, 32, 4}, format, first_index);
    }
    check_attention(backend, options, {3, 1, 64, 16}, format, 0);
    check_attention(backend, options, {2, 2, 40, 10}, format, 0);
    check_attention(backend, options, {2, 1, 256, 32}, format, 0);
  }
  check_attention_gate(backend, options, 3, 40);
  check_attention_gate(backend, options, 2, 256);
}

}  // namespace sluice::ops::testing
