// The row kernels of every instruction set against double precision: exponential, gates, norms,
// rotation, convolution, maximum; every tail; values at the edge of the range.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "backend/cpu/detect.h"
#include "backend/cpu/vector/attention_kernels.h"
#include "backend/cpu/vector/gdn_kernels.h"
#include "backend/cpu/vector/row_kernels.h"
#include "ops/arrays.h"

namespace sluice::cpu {
namespace {

using ops::testing::bits_of;
using ops::testing::random_values;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kUnit = 0x1p-24;  // largest relative error of one rounding

class RowKernelsTest : public ::testing::TestWithParam<InstructionSet> {
 protected:
  const RowKernels& kernels() const { return row_kernels(GetParam()); }
};

// Distance in units of the last place of the float nearest to `exact` (denormals included).
double ulps(float value, double exact) {
  const auto nearest = static_cast<float>(exact);
  if (std::isinf(nearest)) return value == nearest ? 0 : 1e9;
  const float next = std::nextafter(std::fabs(nearest), kInfinity);
  const double step = static_cast<double>(next) - static_cast<double>(std::fabs(nearest));
  return std::fabs(static_cast<double>(value) - exact) / step;
}

double silu(double x) { return x / (1.0 + std::exp(-x)); }

TEST_P(RowKernelsTest, TargetIsThatOfTheForcedSet) {
  const std::string target = kernels().target;
#if defined(__x86_64__)
  const bool wide = GetParam() >= InstructionSet::kAvx512;
  const bool middle = !wide && GetParam() >= InstructionSet::kAvx2;
  EXPECT_EQ(target.find("AVX3") != std::string::npos, wide) << target;
  EXPECT_EQ(target.find("AVX2") != std::string::npos, middle) << target;
  EXPECT_EQ(kernels().lanes, wide ? 16 : middle ? 8 : kernels().lanes);
  EXPECT_TRUE(wide || middle || kernels().lanes <= 4);
#else
  EXPECT_EQ(target.find("AVX"), std::string::npos) << target;
#endif
}

// The other two tables have no name of their target: they must change where that of the rows does,
// so that no suite that runs "on every set" repeats one target under several names.
TEST(VectorTargets, EveryTableFollowsTheForcedSet) {
  const auto sets = supported_instruction_sets();
  for (const InstructionSet a : sets) {
    for (const InstructionSet b : sets) {
      const bool same = std::string(row_kernels(a).target) == row_kernels(b).target;
      const std::string pair =
          std::string(instruction_set_name(a)) + " " + std::string(instruction_set_name(b));
      EXPECT_EQ(&row_kernels(a) == &row_kernels(b), same) << pair;
      EXPECT_EQ(&attention_kernels(a) == &attention_kernels(b), same) << pair;
      EXPECT_EQ(&gdn_kernels(a) == &gdn_kernels(b), same) << pair;
      EXPECT_EQ(attention_kernels(a).attend_page == attention_kernels(b).attend_page, same) << pair;
      EXPECT_EQ(gdn_kernels(a).apply_rows == gdn_kernels(b).apply_rows, same) << pair;
    }
  }
}

TEST_P(RowKernelsTest, ExponentialWithinTwoUnits) {
  std::vector<float> x;
  for (float at = -104.5f; at < 89.5f; at += 0.00137f) x.push_back(at);
  for (const float tiny : {0.0f, -0.0f, 1e-30f, -1e-30f, 1e-7f, -1e-7f}) x.push_back(tiny);
  std::vector<float> y(x.size());
  kernels().exponential(x.data(), y.data(), static_cast<int64_t>(x.size()));
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    const double error = ulps(y[i], exact);
    ASSERT_LE(error, 2.0) << "e^" << x[i] << " is " << exact << ", got " << y[i];
    worst = std::max(worst, error);
  }
  RecordProperty("worst_ulp", std::to_string(worst));
}

TEST_P(RowKernelsTest, ExponentialAtTheEdges) {
  const std::vector<float> x = {-kInfinity, kInfinity, kNan, -1e30f, 1e30f, -200.0f, 200.0f, 0.0f};
  std::vector<float> y(x.size());
  kernels().exponential(x.data(), y.data(), static_cast<int64_t>(x.size()));
  EXPECT_EQ(y[0], 0.0f);
  EXPECT_EQ(y[1], kInfinity);
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_EQ(y[3], 0.0f);
  EXPECT_EQ(y[4], kInfinity);
  EXPECT_EQ(y[5], 0.0f);
  EXPECT_EQ(y[6], kInfinity);
  EXPECT_EQ(y[7], 1.0f);
}

TEST_P(RowKernelsTest, GatesHoldAtEveryMagnitude) {
  std::vector<float> gate = random_values(1, 200, -30.0f, 30.0f);
  for (const float edge : {-1e30f, -1e4f, -104.0f, -88.0f, 88.0f, 104.0f, 1e4f, 1e30f, 0.0f}) {
    gate.push_back(edge);
  }
  const auto count = static_cast<int64_t>(gate.size());
  const std::vector<float> up = random_values(2, count, -3.0f, 3.0f);
  std::vector<float> swiglu(gate.size()), gated(gate.size());
  kernels().swiglu(gate.data(), up.data(), swiglu.data(), count);
  kernels().sigmoid_gate(up.data(), gate.data(), gated.data(), count);
  for (size_t i = 0; i < gate.size(); ++i) {
    const double exact = silu(static_cast<double>(gate[i])) * static_cast<double>(up[i]);
    // e^-x within 2 units, one addition, one division, one product; 1e-37 for results that vanish.
    EXPECT_NEAR(swiglu[i], exact, 8 * kUnit * std::fabs(exact) + 1e-34) << gate[i];
    const double open =
        static_cast<double>(up[i]) / (1.0 + std::exp(-static_cast<double>(gate[i])));
    EXPECT_NEAR(gated[i], open, 8 * kUnit * std::fabs(open) + 1e-37) << gate[i];
  }
}

TEST_P(RowKernelsTest, NormsHoldAtEveryMagnitudeAndLength) {
  for (int64_t count = 1; count <= 70; ++count) {
    for (const float scale : {1.0f, 1e-30f, 1e30f, 1e-4f}) {
      std::vector<float> x = random_values(static_cast<uint64_t>(count), count);
      for (float& value : x) value *= scale;
      const std::vector<float> weight = random_values(3, count, 0.5f, 2.0f);
      std::vector<float> rms(x.size()), l2(x.size());
      kernels().rms_norm(x.data(), weight.data(), 1e-6f, rms.data(), count);
      kernels().l2_norm(x.data(), 0.25f, l2.data(), count);
      double sum = 0;
      for (const float value : x) sum += static_cast<double>(value) * static_cast<double>(value);
      const double epsilon = static_cast<double>(1e-6f);
      const double by_rms = 1.0 / std::sqrt(sum / static_cast<double>(count) + epsilon);
      const double by_l2 = 0.25 / std::sqrt(sum + epsilon);
      for (size_t i = 0; i < x.size(); ++i) {
        const double exact = static_cast<double>(x[i]) * by_rms * static_cast<double>(weight[i]);
        // The factor and two products are rounded once each.
        ASSERT_NEAR(rms[i], exact, 3.1 * kUnit * std::fabs(exact) + 1e-44) << count << " " << scale;
        const double length = static_cast<double>(x[i]) * by_l2;
        ASSERT_NEAR(l2[i], length, 3.1 * kUnit * std::fabs(length) + 1e-44)
            << count << " " << scale;
      }
    }
  }
}

TEST_P(RowKernelsTest, NormsOfZerosAreZeros) {
  const std::vector<float> zeros(37), ones(37, 1.0f);
  std::vector<float> out(37, 5.0f);
  kernels().rms_norm(zeros.data(), ones.data(), 1e-6f, out.data(), 37);
  EXPECT_EQ(out, zeros);
  out.assign(37, 5.0f);
  kernels().l2_norm(zeros.data(), 1.0f, out.data(), 37);
  EXPECT_EQ(out, zeros);
  out.assign(37, 5.0f);
  kernels().gated_norm(zeros.data(), ones.data(), ones.data(), 1e-6f, out.data(), 37);
  EXPECT_EQ(out, zeros);
}

TEST_P(RowKernelsTest, GatedNormIsNormThenGate) {
  for (int64_t count = 1; count <= 40; ++count) {
    const std::vector<float> core = random_values(5, count), z = random_values(6, count, -9, 9),
                             weight = random_values(7, count);
    std::vector<float> out(core.size());
    kernels().gated_norm(core.data(), z.data(), weight.data(), 1e-6f, out.data(), count);
    double sum = 0;
    for (const float v : core) sum += static_cast<double>(v) * static_cast<double>(v);
    const double factor =
        1.0 / std::sqrt(sum / static_cast<double>(count) + static_cast<double>(1e-6f));
    for (size_t i = 0; i < core.size(); ++i) {
      const double exact = static_cast<double>(core[i]) * factor * static_cast<double>(weight[i]) *
                           silu(static_cast<double>(z[i]));
      ASSERT_NEAR(out[i], exact, 11 * kUnit * std::fabs(exact) + 1e-44) << count;
    }
  }
}

// A value's bits do not depend on whether it stands in a full vector or in the tail.
TEST_P(RowKernelsTest, TailsHaveTheBitsOfFullVectors) {
  const std::vector<float> a = random_values(8, 96, -20, 20), b = random_values(9, 96);
  const float* rows[] = {a.data(), b.data(), a.data() + 32, b.data() + 32};
  std::vector<float> full(64), part(64);
  const auto same = [&](int64_t count) {
    return std::equal(part.begin(), part.begin() + count, full.begin());
  };
  for (int64_t count = 1; count <= 64; ++count) {
    kernels().swiglu(a.data(), b.data(), full.data(), 64);
    kernels().swiglu(a.data(), b.data(), part.data(), count);
    ASSERT_TRUE(same(count)) << count;
    kernels().exponential(a.data(), full.data(), 64);
    kernels().exponential(a.data(), part.data(), count);
    ASSERT_TRUE(same(count)) << count;
    kernels().convolve(rows, b.data(), 16, 4, full.data(), 16);
    kernels().convolve(rows, b.data(), 16, 4, part.data(), std::min<int64_t>(count, 16));
    ASSERT_TRUE(same(std::min<int64_t>(count, 16))) << count;
  }
}

TEST_P(RowKernelsTest, ConvolutionOfEveryKernelAndTail) {
  for (int64_t taps = 1; taps <= 5; ++taps) {
    for (int64_t channels = 1; channels <= 40; ++channels) {
      const std::vector<float> weight = random_values(10, channels * taps);
      std::vector<std::vector<float>> inputs;
      std::vector<const float*> rows;
      for (int64_t t = 0; t < taps; ++t) {
        inputs.push_back(random_values(11 + static_cast<uint64_t>(t), channels));
      }
      for (const auto& input : inputs) rows.push_back(input.data());
      std::vector<float> transposed(static_cast<size_t>(taps * 48)),
          out(static_cast<size_t>(channels));
      kernels().transpose_taps(weight.data(), taps, channels, taps, transposed.data(), 48);
      kernels().convolve(rows.data(), transposed.data(), 48, taps, out.data(), channels);
      for (int64_t c = 0; c < channels; ++c) {
        double sum = 0, size = 0;
        for (int64_t t = 0; t < taps; ++t) {
          const double term =
              static_cast<double>(weight[static_cast<size_t>(c * taps + t)]) *
              static_cast<double>(inputs[static_cast<size_t>(t)][static_cast<size_t>(c)]);
          sum += term;
          size += std::fabs(term);
        }
        // The derivative of silu is below 1.1.
        ASSERT_NEAR(out[static_cast<size_t>(c)], silu(sum),
                    (1.1 * static_cast<double>(2 * taps) * size + 8 * std::fabs(silu(sum))) * kUnit)
            << taps << " taps, channel " << c << " of " << channels;
      }
    }
  }
}

TEST_P(RowKernelsTest, RotationIsTheHalfSplitForm) {
  for (const int64_t pairs : {1, 3, 8, 16, 32, 37}) {
    const std::vector<float> before = random_values(12, 2 * pairs + 5);
    const std::vector<float> cosines = random_values(13, pairs), sines = random_values(14, pairs);
    std::vector<float> x = before;
    kernels().rotate(x.data(), cosines.data(), sines.data(), pairs);
    for (int64_t m = 0; m < pairs; ++m) {
      const auto at = [&](const std::vector<float>& v, int64_t i) {
        return static_cast<double>(v[static_cast<size_t>(i)]);
      };
      const double a = at(before, m), b = at(before, m + pairs), c = at(cosines, m),
                   s = at(sines, m);
      const double bound = 2 * kUnit * (std::fabs(a) + std::fabs(b));
      ASSERT_NEAR(at(x, m), a * c - b * s, bound) << m << " of " << pairs;
      ASSERT_NEAR(at(x, m + pairs), b * c + a * s, bound) << m << " of " << pairs;
    }
    for (size_t i = static_cast<size_t>(2 * pairs); i < x.size(); ++i) ASSERT_EQ(x[i], before[i]);
  }
}

TEST_P(RowKernelsTest, FirstMaximumWinsAndNanLoses) {
  for (int64_t count = 1; count <= 70; ++count) {
    const auto size = static_cast<size_t>(count);
    for (int64_t at = 0; at < count; ++at) {
      std::vector<float> x = random_values(15, count);
      x[static_cast<size_t>(at)] = 2.0f;
      if (at + 1 < count) x[size - 1] = 2.0f;  // a later equal one
      if (at > 0) x[0] = kNan;
      ASSERT_EQ(kernels().first_maximum(x.data(), count), at) << count;
    }
    const std::vector<float> nans(size, kNan), lowest(size, -kInfinity);
    EXPECT_EQ(kernels().first_maximum(nans.data(), count), 0);
    EXPECT_EQ(kernels().first_maximum(lowest.data(), count), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, RowKernelsTest,
                         ::testing::ValuesIn(supported_instruction_sets().begin(),
                                             supported_instruction_sets().end()),
                         [](const auto& test) {
                           return std::string(instruction_set_name(test.param));
                         });

}  // namespace
}  // namespace sluice::cpu
