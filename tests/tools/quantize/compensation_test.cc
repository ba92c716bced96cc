// Error-compensating rounding against the paper's own loop in double (explicit inverse, weights
// updated column by column), and what must hold of any result.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "codec/number_formats.h"
#include "tools/quantize/compensated_rounding.h"
#include "tools/quantize/fp8_search.h"
#include "tools/quantize/tile_products.h"

namespace sluice {
namespace {

using quantize::CompensationFactor;
using quantize::Fp8Lattice;
using quantize::InputProducts;
using quantize::Nvfp4Lattice;
using quantize::RowLoss;
using quantize::ScaleSearch;

using Square = std::vector<std::vector<double>>;
using Values = std::vector<float>;

Values random_values(size_t count, unsigned seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  Values out(count);
  for (float& value : out) value = codec::round_to_bf16(draw(random) * scale);
  return out;
}

// Rows whose columns move together: a few hidden causes and some noise of each column's own size.
Values correlated_inputs(int64_t rows, int64_t columns, unsigned seed) {
  constexpr int64_t kCauses = 12;
  const Values causes = random_values(static_cast<size_t>(rows * kCauses), seed);
  const Values mixing = random_values(static_cast<size_t>(kCauses * columns), seed + 1);
  const Values noise = random_values(static_cast<size_t>(rows * columns), seed + 2, 0.3f);
  const Values sizes = random_values(static_cast<size_t>(columns), seed + 3);
  Values out(static_cast<size_t>(rows * columns));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      float sum = noise[static_cast<size_t>(i * columns + j)];
      for (int64_t c = 0; c < kCauses; ++c)
        sum += causes[static_cast<size_t>(i * kCauses + c)] *
               mixing[static_cast<size_t>(c * columns + j)];
      out[static_cast<size_t>(i * columns + j)] = sum * std::exp(sizes[static_cast<size_t>(j)]);
    }
  }
  return out;
}

Square products_of(const Values& x, int64_t columns) {
  const auto width = static_cast<size_t>(columns);
  Square h(width, std::vector<double>(width));
  for (size_t row = 0; row < x.size(); row += width) {
    for (size_t i = 0; i < width; ++i) {
      for (size_t j = 0; j < width; ++j) h[i][j] += double{x[row + i]} * double{x[row + j]};
    }
  }
  return h;
}

InputProducts gathered(const Values& x, int64_t columns, int threads = 1, int64_t most = 8192) {
  InputProducts products(columns, most);
  ThreadPool pool(threads);
  products.add(x, pool);
  return products;
}

CompensationFactor factor_of(const Values& x, int64_t columns, int64_t most = 8192) {
  ThreadPool pool(2);
  return quantize::factorize(gathered(x, columns, 2, most), pool);
}

// ---------------------------------------------- the paper's loop

Square inverse(Square m) {
  const size_t n = m.size();
  Square out(n, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) out[i][i] = 1;
  for (size_t k = 0; k < n; ++k) {  // positive definite: no pivot is zero
    const double pivot = m[k][k];
    for (size_t j = 0; j < n; ++j) {
      m[k][j] /= pivot;
      out[k][j] /= pivot;
    }
    for (size_t i = 0; i < n; ++i) {
      const double factor = m[i][k];
      if (i == k || factor == 0) continue;
      for (size_t j = 0; j < n; ++j) {
        m[i][j] -= factor * m[k][j];
        out[i][j] -= factor * out[k][j];
      }
    }
  }
  return out;
}

// Upper triangle U with U^T U = m.
Square upper_factor(const Square& m) {
  const size_t n = m.size();
  Square u(n, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i; j < n; ++j) {
      double sum = m[i][j];
      for (size_t k = 0; k < i; ++k) sum -= u[k][i] * u[k][j];
      u[i][j] = i == j ? std::sqrt(sum) : sum / u[i][i];
    }
  }
  return u;
}

// One row in the given order: `round(k, w)` is the value for the current weight at place k.
// Returns the sum of (w - q)^2 / U_kk^2.
template <typename Round>
double paper_columns(const Square& u, std::vector<double>& w, size_t first, size_t end,
                     const Round& round) {
  double loss = 0;
  for (size_t k = first; k < end; ++k) {
    const double error = (w[k] - round(k, w[k])) / u[k][k];
    for (size_t j = k; j < w.size(); ++j) w[j] -= error * u[k][j];
    loss += error * error;
  }
  return loss;
}

// U of the factor's own block from the products, by inverse.
Square paper_factor(const Square& h, const CompensationFactor& factor) {
  const auto& block = factor.blocks.front();
  const size_t n = h.size();
  double mean = 0;
  for (size_t i = 0; i < n; ++i) mean += h[i][i] / static_cast<double>(n);
  Square ordered(n, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j)
      ordered[i][j] = h[static_cast<size_t>(block.order[i])][static_cast<size_t>(block.order[j])];
    ordered[i][i] += 0.01 * mean;
  }
  return upper_factor(inverse(ordered));
}

// ---------------------------------------------- pieces

TEST(Compensation, ProductsAreThoseOfEveryTail) {
  for (const auto& [depth, rows, columns] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {3, 5, 9}, {300, 7, 17}, {64, 130, 33}}) {
    const auto stride_a = rows + 3, stride_b = columns + 2, stride_c = columns + 1;
    const Values a = random_values(static_cast<size_t>(depth * stride_a), 1);
    const Values b = random_values(static_cast<size_t>(depth * stride_b), 2);
    Values c = random_values(static_cast<size_t>(rows * stride_c), 3);
    std::vector<double> da(a.begin(), a.end()), db(b.begin(), b.end()), dc(c.begin(), c.end());
    const Values before = c;
    quantize::add_products(depth, a.data(), stride_a, b.data(), stride_b, rows, columns, c.data(),
                           stride_c);
    quantize::subtract_products(depth, da.data(), stride_a, db.data(), stride_b, rows, columns,
                                dc.data(), stride_c);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < stride_c; ++j) {
        const auto at = static_cast<size_t>(i * stride_c + j);
        double sum = 0, magnitude = std::fabs(double{before[at]});
        for (int64_t k = 0; k < depth && j < columns; ++k) {
          const double product = double{a[static_cast<size_t>(k * stride_a + i)]} *
                                 double{b[static_cast<size_t>(k * stride_b + j)]};
          sum += product;
          magnitude += std::fabs(product);
        }
        // One rounding a term and one an addition.
        const double terms = static_cast<double>(depth) + 2;
        EXPECT_NEAR(c[at], before[at] + sum, magnitude * terms * 0x1p-24) << i << " " << j;
        EXPECT_NEAR(dc[at], before[at] - sum, magnitude * terms * 0x1p-52) << i << " " << j;
      }
    }
  }
}

TEST(Compensation, GatheringDependsOnNeitherThreadsNorBlocks) {
  constexpr int64_t kColumns = 400;
  const Values x = correlated_inputs(90, kColumns, 5);
  const InputProducts one = gathered(x, kColumns, 1), three = gathered(x, kColumns, 3);
  EXPECT_EQ(one.blocks().front().values, three.blocks().front().values);
  EXPECT_EQ(one.rows(), 90u);
  const InputProducts cut = gathered(x, kColumns, 2, 200);
  ASSERT_EQ(cut.blocks().size(), 2u);
  EXPECT_EQ(cut.blocks()[1].first, 256);  // 200 rounded up to whole tiles
  EXPECT_EQ(cut.blocks()[1].size, 144);
  EXPECT_EQ(InputProducts::bytes(kColumns, 200), (256u * 256 + 144 * 144) * 4);
  EXPECT_EQ(InputProducts::work_bytes(kColumns, 200), 256u * 256 * 8);
  for (int64_t i = 0; i < 144; ++i) {
    for (int64_t j = i; j < 144; ++j)
      EXPECT_EQ(cut.blocks()[1].values[static_cast<size_t>(i * 144 + j)],
                one.blocks()[0].values[static_cast<size_t>((256 + i) * kColumns + 256 + j)]);
  }
}

TEST(Compensation, FactorTimesItselfIsTheDampedHessian) {
  constexpr int64_t kColumns = 210;
  Values x = correlated_inputs(80, kColumns, 6);  // fewer rows than columns: singular
  for (size_t i = 40; i < x.size(); i += kColumns) x[i] = 0;
  const Square h = products_of(x, kColumns);
  const CompensationFactor factor = factor_of(x, kColumns);
  const auto& block = factor.blocks.front();
  double mean = 0, largest = 0;
  for (const auto& row : h) largest = std::max(largest, *std::max_element(row.begin(), row.end()));
  for (size_t i = 0; i < h.size(); ++i) mean += h[i][i] / static_cast<double>(kColumns);
  EXPECT_NEAR(block.damping, 0.01 * mean, 1e-6 * mean);
  std::vector<int32_t> sorted = block.order;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) EXPECT_EQ(sorted[i], static_cast<int32_t>(i));
  const auto upper = [&](size_t i, size_t j) {
    return double{block.upper[i * static_cast<size_t>(kColumns) + j]};
  };
  for (size_t i = 0; i < h.size(); ++i) {
    for (size_t j = 0; j < h.size(); ++j) {
      double sum = 0;
      for (size_t k = std::max(i, j); k < h.size(); ++k) sum += upper(i, k) * upper(j, k);
      const auto a = static_cast<size_t>(block.order[i]), b = static_cast<size_t>(block.order[j]);
      EXPECT_NEAR(sum, h[a][b] + (a == b ? block.damping : 0), 1e-5 * largest);
      EXPECT_TRUE(j >= i || upper(i, j) == 0);
    }
  }
}

TEST(Compensation, ChunksThatWeighMostComeFirst) {
  constexpr int64_t kColumns = 100;  // chunks of 32, 32, 32 and 4
  Values x(kColumns, 1.0f);
  for (size_t i = 64; i < 96; ++i) x[i] = 5;
  for (size_t i = 96; i < 100; ++i) x[i] = 3;
  const auto order = factor_of(x, kColumns).blocks.front().order;
  EXPECT_EQ(order[0], 64);
  EXPECT_EQ(order[31], 95);
  EXPECT_EQ(order[32], 96);
  EXPECT_EQ(order[36], 0);  // equal ones in their own order
  EXPECT_EQ(order[99], 63);
}

// ---------------------------------------------- rounding

struct Rounded {
  std::vector<uint8_t> codes, scales;
  std::vector<RowLoss> losses;
};

Rounded round_rows(const CompensationFactor& factor, const quantize::Lattice& lattice,
                   const Values& weights, int64_t first_row = 0) {
  const size_t rows = weights.size() / static_cast<size_t>(factor.columns);
  Rounded out{std::vector<uint8_t>(weights.size()), std::vector<uint8_t>(weights.size() / 16),
              std::vector<RowLoss>(rows)};
  if (const auto* nvfp4 = std::get_if<Nvfp4Lattice>(&lattice)) {
    out.codes.resize(weights.size() / 2);
    out.scales.resize(weights.size() / static_cast<size_t>(nvfp4->group));
  }
  quantize::round_compensated(factor, lattice, first_row, weights,
                              {out.codes, out.scales, out.losses});
  return out;
}

struct Fp8Case {
  int64_t rows, columns;
  std::vector<float> scales;
  Fp8Lattice lattice;
  Fp8Case(const Values& weights, int64_t row_count) : rows(row_count) {
    columns = static_cast<int64_t>(weights.size()) / rows;
    for (int64_t row = 0; row < rows; ++row)
      scales.push_back(
          quantize::best_fp8_scale(std::span(weights).subspan(static_cast<size_t>(row * columns),
                                                              static_cast<size_t>(columns)),
                                   DType::kBF16));
    lattice = {1, columns, scales};
  }
};

double decoded_nvfp4(const Rounded& rounded, const Nvfp4Lattice& lattice, size_t at) {
  const uint8_t code = (rounded.codes[at / 2] >> (at % 2 * 4)) & 15;
  const float factor =
      codec::kE4m3Values[rounded.scales[at / static_cast<size_t>(lattice.group)]] / lattice.divisor;
  return double{codec::kE2m1Values[code] * factor};
}

TEST(Compensation, Fp8ChoosesWhatThePapersLoopChooses) {
  for (const int64_t columns : {1, 37, 150}) {  // over one step of 128
    const Values x = correlated_inputs(2 * columns + 20, columns, 11);
    const Values weights = random_values(static_cast<size_t>(5 * columns), 12, 0.02f);
    const Fp8Case fp8(weights, 5);
    const CompensationFactor factor = factor_of(x, columns);
    const Square u = paper_factor(products_of(x, columns), factor);
    const Rounded rounded = round_rows(factor, fp8.lattice, weights);
    const auto& order = factor.blocks.front().order;
    for (size_t row = 0; row < 5; ++row) {
      const size_t base = row * static_cast<size_t>(columns);
      std::vector<double> w;
      for (const int32_t column : order)
        w.push_back(double{weights[base + static_cast<size_t>(column)]});
      std::vector<uint8_t> codes(static_cast<size_t>(columns));
      paper_columns(u, w, 0, w.size(), [&](size_t k, double value) {
        const uint8_t code = codec::f32_to_e4m3(static_cast<float>(value) / fp8.scales[row]);
        codes[static_cast<size_t>(order[k])] = code;
        return double{codec::kE4m3Values[code] * fp8.scales[row]};
      });
      EXPECT_TRUE(std::equal(codes.begin(), codes.end(),
                             rounded.codes.begin() + static_cast<std::ptrdiff_t>(base)))
          << columns << " columns, row " << row;
    }
  }
}

// The paper's loop, told to try every scale of a group on the weights as they have become.
TEST(Compensation, Nvfp4ChoosesWhatThePapersLoopChooses) {
  for (const auto& [group, search] : {std::pair<int64_t, ScaleSearch>{16, ScaleSearch::kSweep},
                                      {32, ScaleSearch::kSweep},
                                      {16, ScaleSearch::kNone}}) {
    constexpr int64_t kColumns = 160;  // a step of 128 and a part of one
    const Values x = correlated_inputs(400, kColumns, 21);
    const Values weights = random_values(3 * kColumns, 22, 0.02f);
    const Nvfp4Lattice lattice{group, quantize::power_of_two_divisor(0.1f, false), search};
    const CompensationFactor factor = factor_of(x, kColumns);
    const Square u = paper_factor(products_of(x, kColumns), factor);
    const Rounded rounded = round_rows(factor, lattice, weights);
    const auto& order = factor.blocks.front().order;
    for (size_t row = 0; row < 3; ++row) {
      std::vector<double> w;
      for (const int32_t column : order)
        w.push_back(double{weights[row * kColumns + static_cast<size_t>(column)]});
      for (size_t first = 0; first < w.size(); first += static_cast<size_t>(group)) {
        const size_t end = first + static_cast<size_t>(group);
        float amax = 0;
        for (size_t k = first; k < end; ++k)
          amax = std::max(amax, static_cast<float>(std::fabs(w[k])));
        const auto candidates = quantize::scale_candidates(amax, lattice.divisor, search, false);
        double best = 0;
        std::vector<double> chosen;
        for (size_t i = 0; i < candidates.count; ++i) {
          const double by = double{codec::kE4m3Values[candidates.codes[i]] / lattice.divisor};
          std::vector<double> tried = w, values = w;
          const double loss = paper_columns(u, tried, first, end, [&](size_t k, double value) {
            const uint8_t code = codec::f32_to_e2m1(static_cast<float>(std::fabs(value) / by));
            values[k] = std::copysign(double{codec::kE2m1Values[code]} * by, value);
            return values[k];
          });
          if (i > 0 && loss >= best) continue;
          best = loss;
          chosen = tried;
          for (size_t k = first; k < end; ++k) chosen[k] = values[k];
        }
        w = chosen;
        for (size_t k = first; k < end; ++k) {
          const size_t at = row * kColumns + static_cast<size_t>(order[k]);
          EXPECT_EQ(decoded_nvfp4(rounded, lattice, at), w[k]) << group << " " << row << " " << k;
        }
      }
    }
  }
}

double squared_output(const Values& x, const std::vector<double>& w) {
  double sum = 0;
  for (size_t row = 0; row < x.size(); row += w.size()) {
    double product = 0;
    for (size_t i = 0; i < w.size(); ++i) product += double{x[row + i]} * w[i];
    sum += product * product;
  }
  return sum;
}

// The losses are those of the inputs themselves, block by block; and compensation pays.
TEST(Compensation, LosesLessOfTheOutputThanPlainRounding) {
  for (const int64_t most : {8192, 128}) {
    constexpr int64_t kColumns = 256;
    const Values x = correlated_inputs(600, kColumns, 31);
    const Values weights = random_values(6 * kColumns, 32, 0.02f);
    const CompensationFactor factor = factor_of(x, kColumns, most);
    const Nvfp4Lattice lattice{16, quantize::power_of_two_divisor(0.1f, false)};
    const Rounded rounded = round_rows(factor, lattice, weights);
    RowLoss sum;
    for (size_t row = 0; row < 6; ++row) {
      const RowLoss& loss = rounded.losses[row];
      EXPECT_LE(loss.written, 1.02 * loss.plain);
      sum.plain += loss.plain;
      sum.written += loss.written;
      double output = 0, written = 0, squared_error = 0;
      for (int64_t first = 0; first < kColumns; first += most) {  // what the blocks leave of H
        std::vector<double> w(kColumns), lost(kColumns);
        for (int64_t i = first; i < std::min(kColumns, first + most); ++i) {
          const size_t at = row * kColumns + static_cast<size_t>(i);
          w[static_cast<size_t>(i)] = double{weights[at]};
          lost[static_cast<size_t>(i)] = weights[at] - decoded_nvfp4(rounded, lattice, at);
          squared_error += lost[static_cast<size_t>(i)] * lost[static_cast<size_t>(i)];
        }
        output += squared_output(x, w);
        written += squared_output(x, lost);
      }
      EXPECT_NEAR(loss.output, output, 1e-4 * output);
      EXPECT_NEAR(loss.written, written, 1e-3 * written);
      EXPECT_NEAR(loss.squared_error, squared_error, 1e-5 * squared_error);
    }
    EXPECT_LT(sum.written, 0.25 * sum.plain) << most;  // norms: less than half
    const Fp8Case fp8(weights, 6);
    RowLoss fp8_sum;
    for (const RowLoss& loss : round_rows(factor, fp8.lattice, weights).losses) {
      fp8_sum.plain += loss.plain;
      fp8_sum.written += loss.written;
    }
    EXPECT_LT(fp8_sum.written, 0.25 * fp8_sum.plain) << most;
  }
}

// Where there is little to gain, following each error can cost more than it brings: such rows stay
// as plain rounding made them. (Within what the damping weighs, a hundredth.)
TEST(Compensation, NoRowLosesMoreThanPlainRounding) {
  constexpr int64_t kColumns = 32;
  const CompensationFactor factor = factor_of(random_values(40 * kColumns, 81), kColumns);
  const Values weights = random_values(200 * kColumns, 82, 0.02f);
  const Nvfp4Lattice lattice{16, quantize::power_of_two_divisor(0.1f, false)};
  size_t kept = 0;
  for (const RowLoss& loss : round_rows(factor, lattice, weights).losses) {
    EXPECT_LE(loss.written, 1.02 * loss.plain);
    kept += loss.written == loss.plain ? 1 : 0;
  }
  EXPECT_GT(kept, 0u);
  EXPECT_LT(kept, 100u);
}

// Inputs that do not move together leave nothing to make up for: every bit is plain rounding's.
TEST(Compensation, UncorrelatedInputsGivePlainRounding) {
  constexpr int64_t kColumns = 160;
  Values x(kColumns * kColumns);
  for (size_t i = 0; i < kColumns; ++i) x[i * kColumns + i] = 3.0f;
  const CompensationFactor factor = factor_of(x, kColumns);
  Values weights = random_values(7 * kColumns, 42, 0.02f);
  std::fill(weights.begin(), weights.begin() + 40, 0.0f);  // groups of zeros as well
  for (const int64_t group : {16, 32}) {
    for (const auto search : {ScaleSearch::kNone, ScaleSearch::kFourOverSix, ScaleSearch::kSweep}) {
      const Nvfp4Lattice lattice{group, quantize::power_of_two_divisor(0.1f, false), search};
      const Rounded rounded = round_rows(factor, lattice, weights);
      Rounded plain = rounded;
      for (size_t row = 0; row < 7; ++row) {
        quantize::encode_nvfp4_row(std::span(weights).subspan(row * kColumns, kColumns), {}, group,
                                   lattice.divisor, search,
                                   plain.scales.data() + row * kColumns / size_t(group),
                                   plain.codes.data() + row * kColumns / 2);
      }
      EXPECT_EQ(rounded.codes, plain.codes);
      EXPECT_EQ(rounded.scales, plain.scales);
    }
  }
  const Fp8Case fp8(weights, 7);
  const Rounded rounded = round_rows(factor, fp8.lattice, weights);
  for (size_t i = 0; i < weights.size(); ++i)
    EXPECT_EQ(rounded.codes[i], codec::f32_to_e4m3(weights[i] / fp8.scales[i / kColumns]));
}

// A column that the text never excites is rounded plainly; a text that excites none, all.
TEST(Compensation, SilentColumnsAreRoundedPlainly) {
  constexpr int64_t kColumns = 96;
  Values x = correlated_inputs(200, kColumns, 51);
  for (size_t i = 17; i < x.size(); i += kColumns) x[i] = 0;
  const Values weights = random_values(3 * kColumns, 52, 0.02f);
  const Fp8Case fp8(weights, 3);
  const Rounded rounded = round_rows(factor_of(x, kColumns), fp8.lattice, weights);
  size_t moved = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const uint8_t plain = codec::f32_to_e4m3(weights[i] / fp8.scales[i / kColumns]);
    EXPECT_TRUE(i % kColumns != 17 || rounded.codes[i] == plain) << i;
    moved += rounded.codes[i] != plain ? 1 : 0;
  }
  EXPECT_GT(moved, kColumns / 4);
  const Rounded silent = round_rows(factor_of(Values(kColumns), kColumns), fp8.lattice, weights);
  for (size_t i = 0; i < weights.size(); ++i)
    EXPECT_EQ(silent.codes[i], codec::f32_to_e4m3(weights[i] / fp8.scales[i / kColumns]));
  EXPECT_EQ(silent.losses[0].output, 0);
}

// Rows do not depend on each other, nor on which of them are rounded together.
TEST(Compensation, RowsAreAlone) {
  constexpr int64_t kColumns = 130;
  const CompensationFactor factor = factor_of(correlated_inputs(300, kColumns, 61), kColumns);
  const Values weights = random_values(5 * kColumns, 62, 0.02f);
  const Fp8Case fp8(weights, 5);
  const Rounded together = round_rows(factor, fp8.lattice, weights);
  for (size_t row = 0; row < 5; ++row) {
    const Values own(weights.begin() + static_cast<std::ptrdiff_t>(row * kColumns),
                     weights.begin() + static_cast<std::ptrdiff_t>((row + 1) * kColumns));
    const Rounded alone = round_rows(factor, fp8.lattice, own, static_cast<int64_t>(row));
    EXPECT_TRUE(std::equal(alone.codes.begin(), alone.codes.end(),
                           together.codes.begin() + static_cast<std::ptrdiff_t>(row * kColumns)));
  }
}

// W4A8's scales leave room for the largest code, whatever errors a weight has to make up for.
TEST(Compensation, ScalesStayBelowTheirLimit) {
  constexpr int64_t kColumns = 128;
  const CompensationFactor factor = factor_of(correlated_inputs(300, kColumns, 71), kColumns);
  const Values weights = random_values(8 * kColumns, 72, 0.02f);
  float amax = 0;
  for (const float value : weights) amax = std::max(amax, std::fabs(value));
  Nvfp4Lattice lattice{32, 448.0f / amax};
  lattice.largest_scale = 0x69;
  const Rounded rounded = round_rows(factor, lattice, weights);
  size_t compensated = 0;
  for (size_t row = 0; row < 8; ++row) {
    if (rounded.losses[row].written == rounded.losses[row].plain) continue;  // kept as they were
    ++compensated;
    for (size_t i = 0; i < kColumns / 32; ++i)
      EXPECT_LE(rounded.scales[row * kColumns / 32 + i], 0x69);
  }
  EXPECT_GT(compensated, 4u);
}

}  // namespace
}  // namespace sluice
