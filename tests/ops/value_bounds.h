// Comparing an operation's results with double precision: tolerances, and what several checks need.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ops/attention_layer.h"
#include "ops/backend_suite.h"

namespace sluice::ops::testing {

inline constexpr double kStored = 0x1p-24;  // rounding of a result to F32
// Functions (exp, log, sine): some units in the last place.
inline double function_error(const SuiteOptions& options) { return 8 * options.unit; }
// Results below the normal range may be flushed to zero.
inline constexpr double kTiny = 0x1p-120;

using Doubles = std::vector<double>;

inline Doubles wide(const std::vector<float>& values) { return {values.begin(), values.end()}; }

inline void expect_within(const std::vector<float>& got, const Doubles& expected,
                          const Doubles& bound, const char* what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    // Written so that NaN fails.
    ASSERT_TRUE(std::abs(got[i] - expected[i]) <=
                bound[i] + std::abs(expected[i]) * kStored + kTiny)
        << what << " element " << i << ": " << got[i] << ", expected " << expected[i] << " within "
        << bound[i];
  }
}

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The RMS norm of a vector times weights; any order of F32 summation.
struct Normed {
  Doubles values, bound;
};
inline Normed rms_normed(const SuiteOptions& options, const Doubles& x, const Doubles& weight) {
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

inline Doubles slice(const Doubles& of, size_t first, size_t count) {
  return {of.begin() + static_cast<ptrdiff_t>(first),
          of.begin() + static_cast<ptrdiff_t>(first + count)};
}

// The parts of check_values that have files of their own.
void check_attention_values(Backend& backend, const SuiteOptions& options);
void check_gdn_values(Backend& backend, const SuiteOptions& options);

}  // namespace sluice::ops::testing
