#include "codec/number_formats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace sluice::codec {
namespace {

uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }

// The magnitude of a format with `exponent_bits`, `mantissa_bits` and `bias`, from the definition.
double defined_value(unsigned code, int exponent_bits, int mantissa_bits, int bias) {
  const unsigned mantissa = code & ((1u << mantissa_bits) - 1);
  const int exponent = static_cast<int>((code >> mantissa_bits) & ((1u << exponent_bits) - 1));
  if (exponent == 0) return std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return std::ldexp(mantissa + (1u << mantissa_bits), exponent - bias - mantissa_bits);
}

// Rounds by search: the nearest of ascending `values` (index = code), ties to the even code,
// clamped to the last.
unsigned search(const std::vector<double>& values, double v) {
  unsigned low = 0;
  auto high = static_cast<unsigned>(values.size() - 1);
  if (v >= values[high]) return high;
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    (values[middle] <= v ? low : high) = middle;
  }
  const double below = v - values[low], above = values[high] - v;
  if (below != above) return below < above ? low : high;
  return low % 2 == 0 ? low : high;
}

// Calls check(x) for every float within four steps of each value and of each midpoint between
// neighbours.
template <typename Check>
void around_ties(const std::vector<double>& values, Check check) {
  const auto around = [&](double center) {
    auto x = static_cast<float>(center);
    for (int step = 0; step < 4 && x > 0; ++step) x = std::nextafter(x, 0.0f);
    for (int step = 0; step < 9; ++step) {
      check(x);
      x = std::nextafter(x, std::numeric_limits<float>::infinity());
    }
  };
  for (size_t i = 0; i < values.size(); ++i) {
    around(values[i]);
    if (i + 1 < values.size()) around((values[i] + values[i + 1]) / 2);
  }
}

TEST(Bf16, EveryCodeSurvives) {
  for (uint32_t code = 0; code < 0x10000; ++code) {
    const float value = bf16_to_f32(static_cast<uint16_t>(code));
    ASSERT_EQ(bits_of(value), code << 16);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(value))));
    } else {
      ASSERT_EQ(f32_to_bf16(value), code);
    }
  }
}

TEST(Bf16, RoundsToNearestEvenAroundEveryTie) {
  for (uint32_t code = 0; code < 0x7F80; ++code) {
    for (int64_t offset = -3; offset <= 3; ++offset) {
      const auto bits = static_cast<uint32_t>((code << 16) + 0x8000 + offset);
      const uint32_t expected = offset < 0 ? code : offset > 0 ? code + 1 : code + (code & 1);
      ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(bits)), expected) << bits;
      ASSERT_EQ(f32_to_bf16(std::bit_cast<float>(bits | 0x80000000u)), expected | 0x8000u) << bits;
    }
  }
}

// Every NaN whose payload lies in the lower half alone would become infinity if it were cut off.
TEST(Bf16, NanStaysNan) {
  for (const uint32_t bits : {0x7F800001u, 0x7F80FFFFu, 0xFF800001u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(bits))))) << bits;
  }
}

TEST(F16, EveryCodeIsItsDefinition) {
  for (unsigned code = 0; code < 0x7C00; ++code) {
    const double expected = defined_value(code, 5, 10, 15);
    ASSERT_EQ(f16_to_f32(static_cast<uint16_t>(code)), expected) << code;
    ASSERT_EQ(bits_of(f16_to_f32(static_cast<uint16_t>(code | 0x8000u))),
              bits_of(-static_cast<float>(expected)));
    ASSERT_EQ(f32_to_f16(f16_to_f32(static_cast<uint16_t>(code | 0x8000u))), code | 0x8000u);
    ASSERT_EQ(f32_to_f16(f16_to_f32(static_cast<uint16_t>(code))), code);
  }
  EXPECT_EQ(f16_to_f32(0x7C00), std::numeric_limits<float>::infinity());
  EXPECT_EQ(f16_to_f32(0xFC00), -std::numeric_limits<float>::infinity());
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::infinity()), 0x7C00);
  for (unsigned code = 0x7C01; code < 0x8000; ++code) {
    ASSERT_TRUE(std::isnan(f16_to_f32(static_cast<uint16_t>(code))));
    ASSERT_TRUE(std::isnan(f16_to_f32(f32_to_f16(f16_to_f32(static_cast<uint16_t>(code))))));
  }
}

TEST(F16, RoundsToNearestEvenAroundEveryTie) {
  std::vector<double> values;
  for (unsigned code = 0; code <= 0x7C00; ++code) values.push_back(defined_value(code, 5, 10, 15));
  around_ties(values, [&](float x) {  // 0x7C00 counts as 65536 here: what rounds to it is infinity
    ASSERT_EQ(f32_to_f16(x), search(values, x)) << x;
    ASSERT_EQ(f32_to_f16(-x), search(values, x) | 0x8000u) << x;
  });
  EXPECT_EQ(f32_to_f16(3e38f), 0x7C00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(E4m3, EveryCodeIsItsDefinition) {
  for (unsigned code = 0; code < 0x7F; ++code) {
    const double expected = defined_value(code, 4, 3, 7);
    ASSERT_EQ(kE4m3Values[code], expected);
    ASSERT_EQ(bits_of(kE4m3Values[code | 0x80]), bits_of(-static_cast<float>(expected)));
    ASSERT_EQ(f32_to_e4m3(kE4m3Values[code]), code);
    ASSERT_EQ(f32_to_e4m3(kE4m3Values[code | 0x80]), code | 0x80);
    ASSERT_EQ(kUe4m3Values[code], expected);
    ASSERT_EQ(kUe4m3Values[code | 0x80], expected);
    ASSERT_EQ(bits_of(kE4m3ValuesNanAsZero[code | 0x80]), bits_of(kE4m3Values[code | 0x80]));
  }
  for (const size_t nan : {0x7Fu, 0xFFu}) {
    EXPECT_TRUE(std::isnan(kE4m3Values[nan]));
    EXPECT_EQ(bits_of(kE4m3ValuesNanAsZero[nan]), 0u);
    EXPECT_EQ(bits_of(kUe4m3Values[nan]), 0u);
  }
  EXPECT_EQ(kE4m3Values[0x7E], 448.0f);
  EXPECT_EQ(kE4m3Values[0x08], 0x1p-6f);
  EXPECT_EQ(kE4m3Values[0x01], 0x1p-9f);
}

TEST(E4m3, RoundsToNearestEvenAroundEveryTie) {
  std::vector<double> values;
  for (unsigned code = 0; code < 0x7F; ++code) values.push_back(defined_value(code, 4, 3, 7));
  around_ties(values, [&](float x) {
    ASSERT_EQ(f32_to_e4m3(x), search(values, x)) << x;
    ASSERT_EQ(f32_to_e4m3(-x), search(values, x) | 0x80u) << x;
  });
}

// spec/quantization-algorithms.md section 9, and saturation where a framework's cast gives NaN.
TEST(E4m3, NamedCases) {
  EXPECT_EQ(f32_to_e4m3(50.0f), f32_to_e4m3(48.0f));
  EXPECT_EQ(f32_to_e4m3(17.0f), f32_to_e4m3(16.0f));
  EXPECT_EQ(f32_to_e4m3(19.0f), f32_to_e4m3(20.0f));
  EXPECT_EQ(f32_to_e4m3(0x1p-10f), 0);
  EXPECT_EQ(f32_to_e4m3(3 * 0x1p-10f), 2);
  for (const float large :
       {464.0f, 464.1f, 480.0f, 1e30f, std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(f32_to_e4m3(large), 0x7E) << large;
    EXPECT_EQ(f32_to_e4m3(-large), 0xFE) << large;
  }
  EXPECT_EQ(f32_to_e4m3(std::numeric_limits<float>::quiet_NaN()), 0x7F);
  EXPECT_EQ(f32_to_e4m3(-0.0f), 0x80);
}

TEST(E2m1, EveryCodeIsItsDefinition) {
  for (unsigned code = 0; code < 8; ++code) {
    ASSERT_EQ(kE2m1Values[code], defined_value(code, 2, 1, 1));
    ASSERT_EQ(bits_of(kE2m1Values[code | 8]), bits_of(-kE2m1Values[code]));
    ASSERT_EQ(f32_to_e2m1(kE2m1Values[code]), code);
    ASSERT_EQ(f32_to_e2m1(kE2m1Values[code | 8]), code | 8);
    ASSERT_EQ(kE2m1Doubled[code], 2 * kE2m1Values[code]);
    ASSERT_EQ(kE2m1Doubled[code | 8], -2 * kE2m1Values[code]);
  }
}

TEST(E2m1, RoundsToNearestEvenAroundEveryTie) {
  std::vector<double> values;
  for (unsigned code = 0; code < 8; ++code) values.push_back(defined_value(code, 2, 1, 1));
  around_ties(values, [&](float x) {
    ASSERT_EQ(f32_to_e2m1(x), search(values, x)) << x;
    ASSERT_EQ(f32_to_e2m1(-x), search(values, x) | 8u) << x;
  });
  EXPECT_EQ(f32_to_e2m1(1e30f), 7);
  EXPECT_EQ(f32_to_e2m1(-std::numeric_limits<float>::infinity()), 15);
}

TEST(E8m0, EveryCodeIsAPowerOfTwo) {
  for (int code = 0; code < 255; ++code) {
    ASSERT_EQ(e8m0_to_f32(static_cast<uint8_t>(code)), std::ldexp(1.0, code - 127)) << code;
  }
  EXPECT_TRUE(std::isnan(e8m0_to_f32(255)));
}

}  // namespace
}  // namespace sluice::codec
