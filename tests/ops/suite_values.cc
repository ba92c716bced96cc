// Every operation against its formula, written down a second time in double, within a bound that
// follows from the sizes of the terms. Here: rows and products.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/value_bounds.h"

namespace sluice::ops::testing {
namespace {

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

// Only the ranges are looked at: what lies between is higher.
void check_argmax_among(Backend& backend) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const int64_t width = 70000;  // a range may be shared out among threads
  std::vector<float> row(static_cast<size_t>(width), 9.0f);
  const std::vector<Range> among = {{64, 128}, {192, 40192}, {69936, 70000}};
  const auto fill = [&](float value) {
    for (const Range& range : among)
      std::fill(row.begin() + range.first, row.begin() + range.end, value);
  };
  const auto best = [&] {
    std::vector<int32_t> tokens(1, -1);
    backend.argmax({Array(backend, 1, width, row), tokens, among});
    return tokens[0];
  };
  fill(-1);
  EXPECT_EQ(best(), 64);
  for (const size_t place : {69999u, 40191u, 35000u, 192u, 127u}) {
    row[place] = 2.0f;  // equal to the later ones that came before
    EXPECT_EQ(best(), static_cast<int32_t>(place));
  }
  fill(nan);
  EXPECT_EQ(best(), 64);
  row[69936] = -5;
  EXPECT_EQ(best(), 69936);
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

// A part has the bits of the whole, and nothing beside it is written.
void check_parts(Backend& backend, Format format, int64_t rows) {
  SCOPED_TRACE(std::string(format_name(format)) + " " + std::to_string(rows) + " rows");
  const int64_t features = 203, columns = 160;
  const Weight weight(format, features, columns, 7);
  const auto matrix = weight.load(backend, MatrixUse::kProduct);
  ASSERT_TRUE(backend.reserve_scratch(rows, columns).ok());
  const Array x(backend, rows, columns, random_values(8, rows * columns, -2, 2));
  Array whole(backend, rows, features);
  const Product all{matrix.get(), whole};
  backend.matmul({x, {&all, 1}, rows});
  const std::vector<float> made = whole.get();
  for (const std::vector<Range>& parts :
       {std::vector<Range>{{0, 64}}, {{64, 128}, {192, 203}}, {{0, 128}, {192, 203}}}) {
    std::vector<float> before(static_cast<size_t>(rows * features), -77.0f), expected = before;
    Array out(backend, rows, features, before);
    std::vector<Product> products;
    for (const Range& part : parts) {
      products.push_back({matrix.get(), out, part});
      for (int64_t r = 0; r < rows; ++r) {
        std::copy_n(made.begin() + r * features + part.first, part.count(),
                    expected.begin() + r * features + part.first);
      }
    }
    backend.matmul({x, products, rows});
    EXPECT_EQ(bits_of(out.get()), bits_of(expected));
    EXPECT_TRUE(out.gaps_untouched());
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
    check_parts(*backend, format, 3);
  }
  for (const int64_t width : {1, 15, 64, 83, 1000}) {
    check_rms_norm(*backend, options, 3, width);
    check_swiglu(*backend, options, 3, width);
  }
  check_gather_and_argmax(*backend);
  check_argmax_among(*backend);
  check_attention_values(*backend, options);
  check_gdn_values(*backend, options);
}

void run_suite(const BackendFactory& make_backend, const SuiteOptions& options) {
  check_values(make_backend, options);
  check_memory(make_backend, options);
  check_deferred_commit(make_backend);
  check_chunk_grid(make_backend);
  check_company(make_backend, options);
}

}  // namespace sluice::ops::testing
