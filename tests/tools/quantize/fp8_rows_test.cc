// Rows as E4M3 in vectors: the codes and sums of plain loops, bit by bit.
#include "tools/quantize/fp8_rows.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "codec/number_formats.h"
#include "tools/quantize/fp8_search.h"

namespace sluice {
namespace {

using quantize::Fp8Parts;

std::vector<float> weights(size_t count) {
  std::mt19937 random(11);
  std::student_t_distribution<float> draw(4);
  std::vector<float> out;
  for (size_t i = 0; i < count; ++i) {
    const float value = draw(random) * 0.02f;
    // Zeros of both signs, values far below a scale, and some that are not exact in BF16.
    out.push_back(i % 31 == 0   ? (i % 2 == 0 ? 0.0f : -0.0f)
                  : i % 17 == 0 ? value * 0x1p-120f
                  : i % 5 == 0  ? value
                                : codec::round_to_bf16(value));
  }
  return out;
}

class Fp8Rows : public testing::TestWithParam<std::tuple<Format, DType>> {};

TEST_P(Fp8Rows, AreThoseOfPlainLoops) {
  const auto [format, stored] = GetParam();
  for (const int64_t rows : {1, 2, 4, 7, 128, 131}) {
    for (const int64_t columns : {1, 3, 4, 127, 128, 130, 390}) {
      const Fp8Parts parts(format, columns, stored, format == Format::kFp8Channel && rows < 5);
      const auto values = weights(static_cast<size_t>(rows * columns));
      std::vector<float> scales(static_cast<size_t>(parts.count(rows)));
      std::vector<float> alone(scales.size());
      quantize::find_fp8_scales(parts, values, alone);
      std::vector<uint8_t> codes(values.size(), 0xAA);
      std::vector<convert::ErrorSum> sums(static_cast<size_t>(rows), {0.25, 0.5});
      quantize::encode_fp8_rows(parts, values, scales, codes.data(), sums);
      EXPECT_EQ(scales, alone);
      for (int64_t row = 0; row < rows; ++row) {
        double error = 0.25, norm = 0.5;
        for (int64_t part = 0; part < parts.across; ++part) {
          double own = 0;
          const float scale = scales[static_cast<size_t>(row / parts.height * parts.across + part)];
          EXPECT_EQ(stored == DType::kBF16 ? codec::round_to_bf16(scale) : scale, scale);
          for (int64_t i = part * parts.width; i < std::min(columns, (part + 1) * parts.width);
               ++i) {
            const auto at = static_cast<size_t>(row * columns + i);
            const uint8_t code = codec::f32_to_e4m3(values[at] / scale);
            ASSERT_EQ(codes[at], code) << row << ", " << i << " of " << rows << " x " << columns;
            const float decoded = codec::kE4m3Values[code] * scale;
            const double difference =
                static_cast<double>(decoded) - static_cast<double>(values[at]);
            own += difference * difference;
            norm += static_cast<double>(values[at]) * static_cast<double>(values[at]);
          }
          error += own;
        }
        const convert::ErrorSum& sum = sums[static_cast<size_t>(row)];
        EXPECT_EQ(std::bit_cast<uint64_t>(sum.squared_error), std::bit_cast<uint64_t>(error));
        EXPECT_EQ(std::bit_cast<uint64_t>(sum.squared_norm), std::bit_cast<uint64_t>(norm));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Fp8Rows,
                         testing::Combine(testing::Values(Format::kFp8Block, Format::kFp8Channel),
                                          testing::Values(DType::kBF16, DType::kF32)));

// What a build is refused by.
TEST(Fp8RowsNorms, ShowEveryValueThatIsNotFinite) {
  for (const Format format : {Format::kFp8Block, Format::kFp8Channel}) {
    const Fp8Parts parts(format, 130, DType::kBF16, true);
    for (const float bad :
         {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
          std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> values(6 * 130, 0.5f), scales(static_cast<size_t>(parts.count(6)));
      values[5 * 130 + 129] = bad;
      std::vector<uint8_t> codes(values.size());
      std::vector<convert::ErrorSum> sums(6);
      quantize::encode_fp8_rows(parts, values, scales, codes.data(), sums);
      for (size_t row = 0; row < 6; ++row)
        EXPECT_EQ(std::isfinite(sums[row].squared_norm), row != 5) << row;
    }
  }
}

// The scale of a tile is that of its largest weight, wherever it stands.
TEST(Fp8Scales, SeeEveryWeightOfATile) {
  const Fp8Parts parts(Format::kFp8Block, 300, DType::kF32, false);
  for (const size_t place : {size_t{0}, size_t{127}, size_t{128}, size_t{299}, size_t{129 * 300},
                             size_t{130 * 300 + 257}}) {
    std::vector<float> values(131 * 300, 0.5f), scales(6);
    values[place] = -56.0f;
    quantize::find_fp8_scales(parts, values, scales);
    const size_t tile = place / 300 / 128 * 3 + place % 300 / 128;
    for (size_t i = 0; i < scales.size(); ++i)
      EXPECT_EQ(scales[i], i == tile ? 0.125f : 0.5f / 448) << place;
  }
}

}  // namespace
}  // namespace sluice
