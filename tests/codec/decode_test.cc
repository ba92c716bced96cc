// Decoding of the specification's worked examples and of what the golden files do not contain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "codec/codec.h"
#include "codec/ggml.h"
#include "codec/ggml_k.h"
#include "codec/integer.h"
#include "codec/number_formats.h"
#include "codec/worked_examples.h"

namespace sluice::codec::test {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

template <typename T>
Plane plane(const std::vector<T>& values, DType dtype, int64_t rows, int64_t columns) {
  return {std::as_bytes(std::span(values)), dtype, rows, columns};
}

std::vector<float> decode(const EncodedMatrix& m, NanCodes nan = NanCodes::kKeep) {
  const Status status = check_matrix(m, "w");
  EXPECT_TRUE(status.ok()) << status.error().message();
  std::vector<float> out(static_cast<size_t>(m.rows * m.columns));
  if (status.ok()) decode_rows(m, 0, m.rows, out.data(), nan);
  return out;
}

// formats-safetensors.md 1.6: w [2, 3] with the scale 0.015625 beside it.
TEST(Fp8, WorkedFile) {
  const auto codes = hex("38 b0 28 7e 01 80");
  const auto scale = hex("80 3c");
  EncodedMatrix m;
  m.format = Format::kFp8Tensor;
  m.rows = m.block_rows = 2;
  m.columns = m.block_columns = 3;
  m.codes = plane(codes, DType::kF8E4M3, 2, 3);
  m.scales = plane(scale, DType::kBF16, 1, 1);
  const auto values = decode(m);
  EXPECT_THAT(values, ElementsAre(0.015625f, -0.0078125f, 0.00390625f, 7.0f, 0x1p-15f, 0.0f));
  EXPECT_TRUE(std::signbit(values[5]));
}

// Tiles are 128 by definition: a [192, 130] matrix has 2 x 2 of them, of unequal sizes.
TEST(Fp8, EdgeTilesAndScaleDtypes) {
  constexpr int64_t kRows = 192, kColumns = 130;
  const std::vector<uint8_t> codes(kRows * kColumns, 0x38);  // 1.0
  const std::vector<float> f32 = {2, 3, 5, 7};
  const std::vector<uint16_t> bf16 = {0x4000, 0x4040, 0x40A0, 0x40E0},
                              f16 = {0x4000, 0x4200, 0x4500, 0x4700};
  const std::vector<uint8_t> e8m0 = {127, 128, 129, 126};
  EncodedMatrix m;
  m.format = Format::kFp8Block;
  m.rows = kRows;
  m.columns = kColumns;
  m.block_rows = m.block_columns = 128;
  m.codes = plane(codes, DType::kF8E4M3, kRows, kColumns);
  const auto expect = [&](const Plane& scales, const std::vector<float>& tiles) {
    m.scales = scales;
    const auto values = decode(m);
    for (int64_t row = 0; row < kRows; ++row) {
      for (int64_t k = 0; k < kColumns; ++k) {
        ASSERT_EQ(values[static_cast<size_t>(row * kColumns + k)],
                  tiles[static_cast<size_t>(row / 128 * 2 + k / 128)])
            << row << " " << k;
      }
    }
  };
  expect(plane(f32, DType::kF32, 2, 2), f32);
  expect(plane(bf16, DType::kBF16, 2, 2), f32);
  expect(plane(f16, DType::kF16, 2, 2), f32);
  expect(plane(e8m0, DType::kF8E8M0, 2, 2), {1, 2, 4, 0.5f});
  expect(plane(e8m0, DType::kU8, 2, 2), {1, 2, 4, 0.5f});
}

TEST(Fp8, NanCodesAsZero) {
  const auto codes = hex("7f ff 38");
  const std::vector<float> scale = {1};
  EncodedMatrix m;
  m.format = Format::kFp8Channel;
  m.rows = m.block_rows = 1;
  m.columns = m.block_columns = 3;
  m.codes = plane(codes, DType::kF8E4M3, 1, 3);
  m.scales = plane(scale, DType::kF32, 1, 1);
  EXPECT_TRUE(std::isnan(decode(m)[0]));
  EXPECT_THAT(decode(m, NanCodes::kZero), ElementsAre(0.0f, 0.0f, 1.0f));
  EXPECT_EQ(count_nan_codes(m), 2);
}

EncodedMatrix nvfp4(const std::vector<uint8_t>& codes, const std::vector<uint8_t>& scales,
                    TensorScale tensor_scale) {
  EncodedMatrix m;
  m.format = Format::kNvfp4;
  m.rows = m.block_rows = 1;
  m.columns = 64;
  m.block_columns = 16;
  m.codes = plane(codes, DType::kU8, 1, 32);
  m.scales = plane(scales, DType::kF8E4M3, 1, 4);
  m.tensor_scale = tensor_scale;
  return m;
}

// formats-safetensors.md section 7, the first block, which is exact in both conventions.
TEST(Nvfp4, WorkedRow) {
  const auto ct_codes = nvfp4_row_ct_codes(), ct_scales = nvfp4_row_ct_scales();
  const auto values = decode(nvfp4(ct_codes, ct_scales, {TensorScale::Use::kDivide, 3584.0f}));
  const std::vector<float> expected = {0.75f,   -0.75f, 0.5f,    -0.5f,  0.5f, 0.25f,
                                       0.25f,   0.125f, 0.125f,  0,      0,    0.0625f,
                                       -0.125f, 0.25f,  -0.375f, 0.0625f};
  EXPECT_THAT(std::vector<float>(values.begin(), values.begin() + 16), ElementsAreArray(expected));
  EXPECT_TRUE(std::signbit(values[10]));
  // Second block: 176 / 3584 is not exact, and the division comes first.
  EXPECT_EQ(values[16], 6.0f * (176.0f / 3584.0f));
  const float ws2 = 0.75f / 2688.0f;
  ASSERT_EQ(std::bit_cast<uint32_t>(ws2), 0x39924925u);
  const auto codes = nvfp4_row_modelopt_codes(), scales = nvfp4_row_modelopt_scales();
  const auto modelopt = decode(nvfp4(codes, scales, {TensorScale::Use::kMultiply, ws2}));
  EXPECT_EQ(modelopt[16 + 9], -3.0f * (176.0f * ws2));
  EXPECT_EQ(modelopt[48], 1.5f * (0x1p-9f * ws2));
}

// The order of roundings moves last bits: 1.5 * (dec8 / G) differs from (1.5 * dec8) / G for some
// scale.
TEST(Nvfp4, ScalesAreJoinedFirst) {
  const float divisor = 840.0f, factor = 1.0f / 840.0f;
  int moved_divide = 0, moved_multiply = 0;
  for (int code = 1; code < 0x7F; ++code) {
    const std::vector<uint8_t> codes(32, 0x33),
        scales(4, static_cast<uint8_t>(code));  // 1.5 everywhere
    const float s = kE4m3Values[static_cast<size_t>(code)];
    const float divided = decode(nvfp4(codes, scales, {TensorScale::Use::kDivide, divisor}))[0];
    const float multiplied = decode(nvfp4(codes, scales, {TensorScale::Use::kMultiply, factor}))[0];
    ASSERT_EQ(divided, 1.5f * (s / divisor));
    ASSERT_EQ(multiplied, 1.5f * (s * factor));
    moved_divide += divided != (1.5f * s) / divisor;
    moved_multiply += multiplied != (1.5f * s) * factor;
  }
  EXPECT_GT(moved_divide, 0);
  EXPECT_GT(moved_multiply, 0);
}

// formats-gguf.md 4.8: the same row regrouped for ggml decodes to code * scale, then `.scale`.
TEST(GgmlNvfp4, WorkedRepack) {
  const auto block =
      hex("7e 73 20 20 27 0f 86 1e a6 44 d4 12  67 ef 32 01 bd 76 c9 54"
          "00 00 00 00 00 00 00 00  80 08 80 08 00 88 00 80");
  const auto ct_codes = nvfp4_row_ct_codes(), ct_scales = nvfp4_row_ct_scales();
  const float scale = 0.75f / 2688.0f;
  EncodedMatrix m;
  m.format = Format::kGgmlNvfp4;
  m.rows = 1;
  m.columns = 64;
  m.codes = plane(block, DType::kGgmlNVFP4, 1, 64);
  m.tensor_scale = {TensorScale::Use::kMultiply, scale};
  const auto values = decode(m);
  for (size_t k = 0; k < 64; ++k) {
    const int code = (ct_codes[k / 2] >> (4 * (k % 2))) & 15;
    ASSERT_EQ(values[k],
              kE2m1Values[static_cast<size_t>(code)] * kE4m3Values[ct_scales[k / 16]] * scale)
        << k;
  }
}

// formats-gguf.md 4.7: the same 32 codes in both nibble orders.
TEST(Mxfp4, BothNibbleOrdersAgree) {
  const auto hf = hex("bd 40 c6 2a e5 0c 64 ad 42 ce 38 d5 1a e4 9c 52");
  const auto ggml = hex("7e 2d 4b e0 c4 86 3c 5a d2 a5 1e 4c e0 c4 96 2d 5a");
  const std::vector<uint8_t> exponent = {0x7e};
  EncodedMatrix m;
  m.format = Format::kMxfp4;
  m.rows = m.block_rows = 1;
  m.columns = m.block_columns = 32;
  m.codes = plane(hf, DType::kU8, 1, 16);
  m.scales = plane(exponent, DType::kU8, 1, 1);
  EncodedMatrix blocks;
  blocks.format = Format::kGgmlMxfp4;
  blocks.rows = 1;
  blocks.columns = 32;
  blocks.codes = plane(ggml, DType::kGgmlMXFP4, 1, 32);
  const auto values = decode(m);
  EXPECT_EQ(values, decode(blocks));
  EXPECT_EQ(values[0], -1.5f);             // code d = -3, times 2^-1
  m.codes = plane(hf, DType::kF4, 1, 32);  // the dtype no listed writer uses
  EXPECT_EQ(values, decode(m));
}

TEST(Mxfp8, ExponentsMultiply) {
  std::vector<uint8_t> codes(64, 0x3C);  // 1.5
  const std::vector<uint8_t> exponents = {0, 130};
  EncodedMatrix m;
  m.format = Format::kMxfp8;
  m.rows = m.block_rows = 1;
  m.columns = 64;
  m.block_columns = 32;
  m.codes = plane(codes, DType::kF8E4M3, 1, 64);
  m.scales = plane(exponents, DType::kF8E8M0, 1, 2);
  const auto values = decode(m);
  EXPECT_EQ(values[31], 1.5f * 0x1p-127f);
  EXPECT_EQ(values[32], 12.0f);
}

// A row's bit string, read bit by bit.
int bit_string_code(const std::vector<uint8_t>& bytes, int64_t index, int bits) {
  int value = 0;
  for (int b = 0; b < bits; ++b) {
    const auto at = static_cast<size_t>(index * bits + b);
    value |= ((bytes[at / 8] >> (at % 8)) & 1) << b;
  }
  return value - (1 << (bits - 1));
}

TEST(Integer, PackAndUnpackEveryWidthAndLength) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const int64_t count : {1, 31, 32, 33, 100, 256}) {
      std::vector<int8_t> codes(static_cast<size_t>(count)), back(codes.size());
      for (int64_t i = 0; i < count; ++i) {
        codes[static_cast<size_t>(i)] =
            static_cast<int8_t>((i * 7 + 3) % (1 << bits) - (1 << (bits - 1)));
      }
      std::vector<uint8_t> words(static_cast<size_t>(4 * packed_words(count, bits)), 0xEE);
      pack_integer_row(codes.data(), count, bits, words.data());
      for (int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(bit_string_code(words, i, bits), codes[static_cast<size_t>(i)])
            << bits << " " << i;
      }
      unpack_integer_row(words.data(), count, bits, back.data());
      ASSERT_EQ(codes, back) << bits << " " << count;
    }
  }
}

// 5 bits: codes and zero points cross words; rows longer than the decoder's buffer; three groups a
// row.
TEST(Integer, ZeroPointsDownTheRows) {
  constexpr int kBits = 5;
  constexpr int64_t kRows = 13, kColumns = 1536, kGroup = 512, kGroups = 3;
  const int64_t words = packed_words(kColumns, kBits), zero_words = packed_words(kRows, kBits);
  const auto code_at = [](int64_t n, int64_t k) {
    return static_cast<int>((n * 11 + k * 3) % 32) - 16;
  };
  const auto zero_at = [](int64_t n, int64_t g) {
    return static_cast<int>((n * 5 + g * 9) % 32) - 16;
  };
  std::vector<uint8_t> packed(static_cast<size_t>(4 * words * kRows));
  std::vector<uint32_t> zeros(static_cast<size_t>(zero_words * kGroups));
  std::vector<float> scales;
  for (int64_t n = 0; n < kRows; ++n) {
    std::vector<int8_t> row;
    for (int64_t k = 0; k < kColumns; ++k) row.push_back(static_cast<int8_t>(code_at(n, k)));
    pack_integer_row(row.data(), kColumns, kBits, packed.data() + 4 * words * n);
    for (int64_t g = 0; g < kGroups; ++g) {
      scales.push_back(static_cast<float>(1 + n + 100 * g) / 64);
      for (int b = 0; b < kBits; ++b) {
        const int64_t bit = n * kBits + b;
        const auto set = static_cast<uint32_t>(((zero_at(n, g) + 16) >> b) & 1);
        zeros[static_cast<size_t>(bit / 32 * kGroups + g)] |= set << (bit % 32);
      }
    }
  }
  EncodedMatrix m;
  m.format = Format::kInt4;
  m.bits = kBits;
  m.packed = true;
  m.rows = kRows;
  m.columns = kColumns;
  m.block_rows = 1;
  m.block_columns = kGroup;
  m.codes = plane(packed, DType::kI32, kRows, words);
  m.scales = plane(scales, DType::kF32, kRows, kGroups);
  m.zero_points = plane(zeros, DType::kI32, zero_words, kGroups);
  const auto values = decode(m);
  for (int64_t n = 0; n < kRows; ++n) {
    for (int64_t k = 0; k < kColumns; ++k) {
      const int64_t g = k / kGroup;
      ASSERT_EQ(values[static_cast<size_t>(n * kColumns + k)],
                static_cast<float>(code_at(n, k) - zero_at(n, g)) *
                    scales[static_cast<size_t>(n * kGroups + g)])
          << n << " " << k;
    }
  }
}

TEST(Integer, BytesPerRowAndPerTensor) {
  const std::vector<int8_t> codes = {-128, 127, 1, 0, -1, 5};
  const std::vector<uint16_t> rows = {0x3F80, 0x4000}, one = {0x3F00};  // 1, 2; 0.5
  EncodedMatrix m;
  m.format = Format::kInt8;
  m.bits = 8;
  m.rows = 2;
  m.columns = m.block_columns = 3;
  m.block_rows = 1;
  m.codes = plane(codes, DType::kI8, 2, 3);
  m.scales = plane(rows, DType::kBF16, 2, 1);
  EXPECT_THAT(decode(m), ElementsAre(-128, 127, 1, 0, -2, 10));
  m.block_rows = 2;
  m.scales = plane(one, DType::kBF16, 1, 1);
  EXPECT_THAT(decode(m), ElementsAre(-64, 63.5f, 0.5f, 0, -0.5f, 2.5f));
}

// formats-gguf.md 4.3.
TEST(KQuants, SixBitScalePacking) {
  const uint8_t scales[8] = {1, 2, 3, 4, 21, 42, 63, 32}, mins[8] = {5, 6, 7, 8, 60, 17, 33, 63};
  uint8_t packed[12], back_scales[8], back_mins[8];
  pack_k4_scales(scales, mins, packed);
  EXPECT_THAT(packed, ElementsAreArray(hex("41 82 c3 84 c5 46 87 c8 c5 1a 1f f0")));
  unpack_k4_scales(packed, back_scales, back_mins);
  EXPECT_THAT(back_scales, ElementsAreArray(scales));
  EXPECT_THAT(back_mins, ElementsAreArray(mins));
}

TEST(KQuants, Q3ScalePackingRoundTrips) {
  uint8_t scales[16], packed[12], back[16];
  for (int shift = 0; shift < 64; ++shift) {
    for (int k = 0; k < 16; ++k) scales[k] = static_cast<uint8_t>((shift + 11 * k) % 64);
    pack_q3_k_scales(scales, packed);
    unpack_q3_k_scales(packed, back);
    ASSERT_THAT(back, ElementsAreArray(scales));
  }
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

std::vector<float> decode_block(DType type, const std::vector<uint8_t>& block, size_t elements) {
  std::vector<float> out(elements);
  decode_ggml_blocks(type, std::as_bytes(std::span(block)).data(), 1, out.data());
  return out;
}

// formats-gguf.md section 8: single elements and the sum of squared errors, as far as printed
// there.
TEST(KQuants, WorkedBlocks) {
  const auto row = ggml_row();
  const auto q4 = decode_block(DType::kQ4_K, ggml_row_q4_k(), 256);
  EXPECT_NEAR(squared_error(q4, row), 0.0757932, 5e-8);
  const std::vector<std::pair<size_t, double>> q4_elements = {
      {0, -0.08221436},  {1, -0.00604248},  {31, -0.00604248}, {32, 0.14577484},
      {33, -0.12400055}, {63, -0.12400055}, {64, 0.04451752},  {255, 0.05239105}};
  for (const auto& [i, value] : q4_elements) EXPECT_NEAR(q4[i], value, 5e-9) << i;
  EXPECT_NEAR(squared_error(decode_block(DType::kQ4_K, ggml_row_q4_k_importance(), 256), row),
              0.0748414, 5e-8);

  const auto q5 = decode_block(DType::kQ5_K, ggml_row_q5_k(), 256);
  EXPECT_NEAR(squared_error(q5, row), 0.0186448, 5e-8);
  const std::vector<std::pair<size_t, double>> q5_elements = {
      {0, -0.07398987}, {32, 0.13610077}, {64, 0.03123093}, {255, 0.04959726}};
  for (const auto& [i, value] : q5_elements) EXPECT_NEAR(q5[i], value, 5e-9) << i;

  const auto q6 = decode_block(DType::kQ6_K, ggml_row_q6_k(), 256);
  EXPECT_NEAR(squared_error(q6, row), 0.00428655, 5e-9);
  const std::vector<std::pair<size_t, double>> q6_elements = {
      {0, -0.07724762}, {16, 0.0946045},   {32, 0.1300812}, {64, 0.0350952},
      {96, -0.1682281}, {128, -0.4907608}, {255, 0.0476837}};
  for (const auto& [i, value] : q6_elements) EXPECT_NEAR(q6[i], value, 5e-8) << i;
}

TEST(FloatRows, HalvesAndSpecials) {
  const std::vector<uint16_t> half = {0x3C00, 0x8001, 0x7BFF, 0x0000};
  EncodedMatrix m;
  m.format = Format::kF16;
  m.rows = 2;
  m.columns = 2;
  m.codes = plane(half, DType::kF16, 2, 2);
  EXPECT_THAT(decode(m), ElementsAre(1.0f, -0x1p-24f, 65504.0f, 0.0f));
}

}  // namespace
}  // namespace sluice::codec::test
