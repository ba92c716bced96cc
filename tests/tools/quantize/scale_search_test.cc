// The searches for scales: never worse than the plain rule, as good as trying every scale, and the
// figures to beat on the anchor matrix.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "codec/number_formats.h"
#include "support/paths.h"
#include "support/zstd_file.h"
#include "tools/quantize/fp8_search.h"
#include "tools/quantize/nvfp4_search.h"

namespace sluice {
namespace {

using quantize::ScaleSearch;

struct Matrix {
  size_t rows = 0, columns = 0;
  std::vector<float> values;
};

Matrix random_matrix(size_t rows, size_t columns) {
  std::mt19937 random(7);
  std::student_t_distribution<float> draw(5);
  Matrix out{rows, columns, {}};
  for (size_t i = 0; i < rows * columns; ++i)
    out.values.push_back(codec::round_to_bf16(draw(random) * 0.02f));
  return out;
}

// Relative error of the whole matrix, weighted by `judge` per column where it is not empty.
double nvfp4_error(const Matrix& matrix, ScaleSearch search, std::span<const float> importance = {},
                   std::span<const float> judge = {}) {
  float amax = 0;
  for (const float value : matrix.values) amax = std::max(amax, std::fabs(value));
  const float divisor = quantize::power_of_two_divisor(amax, false);
  std::vector<uint8_t> scales(matrix.columns / 16), codes(matrix.columns / 2);
  double error = 0, norm = 0;
  for (size_t row = 0; row < matrix.rows; ++row) {
    const auto x = std::span(matrix.values).subspan(row * matrix.columns, matrix.columns);
    quantize::encode_nvfp4_row(x, importance, 16, divisor, search, scales.data(), codes.data());
    for (size_t i = 0; i < matrix.columns; ++i) {
      const uint8_t code = (codes[i / 2] >> (i % 2 * 4)) & 15;
      const double value = x[i], weight = judge.empty() ? 1.0 : double{judge[i]};
      const double decoded =
          double{codec::kE2m1Values[code] * (codec::kE4m3Values[scales[i / 16]] / divisor)};
      error += weight * (decoded - value) * (decoded - value);
      norm += weight * value * value;
    }
  }
  return std::sqrt(error / norm);
}

double nvfp4_error(const Matrix& matrix, std::span<const float> importance,
                   std::span<const float> judge) {
  return nvfp4_error(matrix, ScaleSearch::kSweep, importance, judge);
}

double fp8_error(const Matrix& matrix, bool search) {
  std::vector<uint8_t> codes(matrix.columns);
  double error = 0, norm = 0;
  for (size_t row = 0; row < matrix.rows; ++row) {
    const auto x = std::span(matrix.values).subspan(row * matrix.columns, matrix.columns);
    float amax = 0;
    for (const float value : x) amax = std::max(amax, std::fabs(value));
    const float scale = search ? quantize::best_fp8_scale(x, DType::kBF16)
                               : quantize::plain_fp8_scale(amax, DType::kBF16);
    error += quantize::encode_fp8_values(x, scale, codes.data());
    for (const float value : x) norm += double{value} * value;
  }
  return std::sqrt(error / norm);
}

TEST(Nvfp4Search, EachStepHelps) {
  const Matrix matrix = random_matrix(64, 1024);
  const double plain = nvfp4_error(matrix, ScaleSearch::kNone);
  const double two = nvfp4_error(matrix, ScaleSearch::kFourOverSix);
  const double all = nvfp4_error(matrix, ScaleSearch::kSweep);
  EXPECT_LT(two, 0.96 * plain);
  EXPECT_LT(all, 0.98 * two);
}

// Every block: no code of the 126 scales has a smaller error than the one chosen among a few.
TEST(Nvfp4Search, TheSweepFindsTheBestOfAllScales) {
  const Matrix matrix = random_matrix(16, 512);
  const float divisor = quantize::power_of_two_divisor(0.5f, false);
  const auto error_of = [&](std::span<const float> x, uint8_t scale) {
    const float factor = codec::kE4m3Values[scale] / divisor;
    double sum = 0;
    for (const float value : x) {
      const double decoded = codec::kE2m1Values[codec::f32_to_e2m1(value / factor)] * factor;
      sum += (decoded - value) * (decoded - value);
    }
    return sum;
  };
  std::vector<uint8_t> scales(1), codes(8);
  for (size_t first = 0; first < matrix.values.size(); first += 16) {
    const auto x = std::span(matrix.values).subspan(first, 16);
    quantize::encode_nvfp4_row(x, {}, 16, divisor, ScaleSearch::kSweep, scales.data(),
                               codes.data());
    const double chosen = error_of(x, scales[0]);
    for (int scale = 1; scale < 0x7F; ++scale)
      ASSERT_GE(error_of(x, static_cast<uint8_t>(scale)) * (1 + 1e-5), chosen)
          << first << " " << scale;
  }
}

TEST(Nvfp4Search, ImportanceMovesTheErrorToWhereItMattersLess) {
  const Matrix matrix = random_matrix(64, 512);
  std::vector<float> importance(512);
  for (size_t i = 0; i < importance.size(); ++i) importance[i] = i % 7 == 0 ? 30.0f : 1.0f;
  // Both are judged by importance; one was chosen by it.
  const double with = nvfp4_error(matrix, importance, importance);
  EXPECT_LT(with, 0.97 * nvfp4_error(matrix, {}, importance));
}

TEST(Nvfp4Search, ZeroBlocksAndSignsOfZeros) {
  std::vector<float> row(32, 0.0f);
  row[16] = 1.0f;
  row[17] = -0.001f;  // rounds to zero, which has no sign
  std::vector<uint8_t> scales(2), codes(16);
  quantize::encode_nvfp4_row(row, {}, 16, 1024.0f, ScaleSearch::kSweep, scales.data(),
                             codes.data());
  EXPECT_EQ(scales[0], 0x38);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(codes[i], 0);
  EXPECT_EQ(codes[8] >> 4, 0);
  EXPECT_GT(codes[8] & 15, 0);
}

TEST(PowerOfTwoDivisor, LeavesRoomAboveTheLargestBlock) {
  for (const float amax : {1e-30f, 0.001f, 0.05f, 1.0f, 3.0f, 1e20f}) {
    const float divisor = quantize::power_of_two_divisor(amax, false);
    const float plain = amax * divisor / 6;  // scale of the largest block
    EXPECT_LE(plain, 256.0f) << amax;
    EXPECT_GT(plain, 128.0f) << amax;
    EXPECT_EQ(std::exp2(std::round(std::log2(divisor))), divisor);
    EXPECT_LE(amax * quantize::power_of_two_divisor(amax, true) / 6, 448.0f / 6);
  }
  EXPECT_EQ(quantize::power_of_two_divisor(0, false), 1.0f);
}

TEST(Fp8Search, IsNeverWorseAndUsuallyBetter) {
  const Matrix matrix = random_matrix(32, 1024);
  EXPECT_LT(fp8_error(matrix, true), fp8_error(matrix, false));
}

// Vector code for whole steps and a rest of any length, against the codec's definition of the
// format.
TEST(Fp8Search, CodesAreThoseOfTheCodec) {
  for (const float scale : {1.0f, 0.0123f, 0x1p-126f}) {
    std::vector<float> values;
    for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 65537) {
      const float value = std::bit_cast<float>(static_cast<uint32_t>(bits));
      if (std::isfinite(value)) values.push_back(value);
    }
    // Ties, the ends of the subnormals and of the range.
    for (const float value :
         {1.0625f, 1.1875f, 0x1p-10f, 0x3p-10f, 0xFp-10f, 0x1p-6f, 448.0f, 464.0f, 1e9f, 0.0f})
      values.insert(values.end(), {value * scale, -value * scale});
    for (const size_t count : {values.size(), values.size() - 1, size_t{1}}) {
      const auto part = std::span(values).last(count);
      std::vector<uint8_t> codes(count + 1, 0xAA);
      const double error = quantize::encode_fp8_values(part, scale, codes.data());
      double expected = 0;
      for (size_t i = 0; i < count; ++i) {
        const uint8_t code = codec::f32_to_e4m3(part[i] / scale);
        ASSERT_EQ(codes[i], code) << part[i] << " under " << scale;
        const double difference = double{codec::kE4m3Values[code] * scale} - double{part[i]};
        expected += difference * difference;
      }
      EXPECT_EQ(error, expected);
      EXPECT_EQ(codes[count], 0xAA);
    }
  }
}

// ../shared/goldens/formats/README.md, "Encoding error to beat"; FP8 rows: ModelOpt's `mse`, 2.515
// %.
TEST(Anchor, ErrorsAreAtMostThoseOfTheBestTool) {
  SLUICE_REQUIRE_SHARED(file, "goldens/formats/encoding_anchor.safetensors.zst");
  const test::TemporaryFolder folder;
  const auto opened = checkpoint::Checkpoint::open(test::unpack_zstd(file, folder.path()));
  ASSERT_TRUE(opened.ok());
  const auto* stored = opened->find("weight");
  ASSERT_NE(stored, nullptr);
  Matrix matrix{static_cast<size_t>(stored->shape[0]), static_cast<size_t>(stored->shape[1]), {}};
  for (size_t i = 0; i < matrix.rows * matrix.columns; ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, stored->bytes.data() + 2 * i, sizeof bits);
    matrix.values.push_back(codec::bf16_to_f32(bits));
  }
  const double plain = nvfp4_error(matrix, ScaleSearch::kNone);
  const double two = nvfp4_error(matrix, ScaleSearch::kFourOverSix);
  const double sweep = nvfp4_error(matrix, ScaleSearch::kSweep);
  const double channel = fp8_error(matrix, true);
  std::printf("anchor: nvfp4 %.3f %%, four over six %.3f %%, sweep %.3f %%, fp8 channel %.3f %%\n",
              100 * plain, 100 * two, 100 * sweep, 100 * channel);
  EXPECT_LE(std::round(1e4 * plain) / 1e4, 0.0920);
  EXPECT_LE(std::round(1e4 * two) / 1e4, 0.0868);
  EXPECT_LE(std::round(1e4 * sweep) / 1e4, 0.0824);
  EXPECT_LE(std::round(1e4 * channel) / 1e4, 0.0251);
}

}  // namespace
}  // namespace sluice
