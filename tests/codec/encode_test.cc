// Encoders against the specification's worked bytes and rules, and what they refuse.
#include "codec/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "codec/bytes.h"
#include "codec/encode_support.h"
#include "codec/number_formats.h"
#include "codec/worked_examples.h"

namespace sluice::codec::test {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

// ---- NVFP4

// formats-safetensors.md section 7: bytes of compressed-tensors 0.20.0 and ModelOpt 0.47.0, "F32
// and BF16 input alike".
TEST(EncodeNvfp4, WorkedRow) {
  const auto row = nvfp4_row();
  for (const SourceType type : {SourceType::kF32, SourceType::kBf16}) {
    const auto ct =
        checked(encode_nvfp4(source_of(row, 1, 64, type), {.rule = Nvfp4Rule::kCompressedTensors}));
    EXPECT_EQ(ct.matrix.tensor_scale.use, TensorScale::Use::kDivide);
    EXPECT_EQ(ct.matrix.tensor_scale.value, 3584.0f);
    EXPECT_THAT(bytes_of(ct.matrix.codes), ElementsAreArray(nvfp4_row_ct_codes()));
    EXPECT_THAT(bytes_of(ct.matrix.scales), ElementsAreArray(nvfp4_row_ct_scales()));

    const auto modelopt =
        checked(encode_nvfp4(source_of(row, 1, 64, type), {.rule = Nvfp4Rule::kModelOpt}));
    EXPECT_EQ(std::bit_cast<uint32_t>(modelopt.matrix.tensor_scale.value), 0x39924925u);
    EXPECT_THAT(bytes_of(modelopt.matrix.codes), ElementsAreArray(nvfp4_row_modelopt_codes()));
    EXPECT_THAT(bytes_of(modelopt.matrix.scales), ElementsAreArray(nvfp4_row_modelopt_scales()));
  }
}

// "coarse numbers": the divisor of BF16 weights is a BF16 number, that of F32 weights is not.
TEST(EncodeNvfp4, DivisorOfBf16WeightsIsRounded) {
  std::vector<float> row(16, 0.0f);
  row[3] = 1.7265625f;  // 2688 / 1.7265625 = 1556.85...
  const Nvfp4Options options{.rule = Nvfp4Rule::kCompressedTensors};
  EXPECT_EQ(checked(encode_nvfp4(source_of(row, 1, 16), options)).matrix.tensor_scale.value,
            1560.0f);
  EXPECT_EQ(checked(encode_nvfp4(source_of(row, 1, 16, SourceType::kF32), options))
                .matrix.tensor_scale.value,
            2688.0f / 1.7265625f);
}

// A -0 in the weights: code 8 where the sign bit is copied, 0 where the sign comes from x < 0.
TEST(EncodeNvfp4, NegativeZero) {
  std::vector<float> row(16, 1.0f);
  row[0] = -0.0f;
  EXPECT_EQ(
      bytes_of(checked(encode_nvfp4(source_of(row, 1, 16), {.rule = Nvfp4Rule::kCompressedTensors}))
                   .matrix.codes)[0] &
          15,
      8);
  EXPECT_EQ(bytes_of(checked(encode_nvfp4(source_of(row, 1, 16), {.rule = Nvfp4Rule::kModelOpt}))
                         .matrix.codes)[0] &
                15,
            0);
}

// quantization-algorithms.md 3.2.
TEST(EncodeNvfp4, FourOverSix) {
  const std::vector<float> row = {1,    .75f, -.75f, .5f,  .75f, -.25f, .75f, -1,
                                  .75f, .25f, -.75f, .75f, .5f,  -.75f, .75f, 0};
  Nvfp4Options options{.rule = Nvfp4Rule::kModelOpt, .four_over_six = true};
  const auto four = checked(encode_nvfp4(source_of(row, 1, 16), options));
  EXPECT_EQ(four.matrix.tensor_scale.value, 1.0f / 1536.0f);
  EXPECT_THAT(bytes_of(four.matrix.scales), ElementsAre(0x7C));
  EXPECT_THAT(bytes_of(four.matrix.codes), ElementsAreArray(hex("56 4d a5 e5 25 5d d4 05")));
  options = {.rule = Nvfp4Rule::kModelOpt, .tensor_scale = four.matrix.tensor_scale};
  const auto six = checked(encode_nvfp4(source_of(row, 1, 16), options));
  EXPECT_THAT(bytes_of(six.matrix.scales), ElementsAre(0x78));
  EXPECT_THAT(bytes_of(six.matrix.codes), ElementsAreArray(hex("67 5e b6 f6 36 6e e5 06")));
}

// formats-safetensors.md 3.11: ws2 = amax / 448, so code * scale fits E4M3; the largest scale is 72
// or less.
TEST(EncodeNvfp4, W4A8) {
  const auto values = random_weights(8 * 64);
  const auto owned =
      checked(encode_nvfp4(source_of(values, 8, 64), {.format = Format::kW4A8Nvfp4, .group = 32}));
  EXPECT_EQ(owned.matrix.tensor_scale.value, amax_of(values) / 448.0f);
  EXPECT_EQ(owned.matrix.scales.columns, 2);
  for (const uint8_t scale : bytes_of(owned.matrix.scales)) EXPECT_LE(kE4m3Values[scale], 72.0f);
}

// ---- FP8

// formats-safetensors.md 3.4 and section 7.
TEST(EncodeFp8, WorkedChannelRows) {
  const std::vector<float> row = {0.8125f,     -0.40625f, 0.1015625f, 0,
                                  -0.0078125f, 0.203125f, 0.75f,      0.30078125f};
  const auto codes = hex("7e f6 66 00 c9 6e 7d 72");
  for (const Fp8Rule rule : {Fp8Rule::kCompressedTensors, Fp8Rule::kStored}) {
    const auto bf16 =
        checked(encode_fp8(source_of(row, 1, 8), {.format = Format::kFp8Channel, .rule = rule}));
    EXPECT_THAT(bytes_of(bf16.matrix.codes), ElementsAreArray(codes));
    EXPECT_THAT(bytes_of(bf16.matrix.scales), ElementsAreArray(hex("ee 3a")));
  }
  const auto f32 =
      checked(encode_fp8(source_of(row, 1, 8, SourceType::kF32),
                         {.format = Format::kFp8Channel, .rule = Fp8Rule::kCompressedTensors}));
  EXPECT_THAT(bytes_of(f32.matrix.codes), ElementsAreArray(codes));
  EXPECT_THAT(bytes_of(f32.matrix.scales), ElementsAreArray(hex("db b6 ed 3a")));
}

// The double rounding: -0.2109375 / s is -116.168 in F32 (code ef), -116 in BF16, a tie (code ee).
TEST(EncodeFp8, DoubleRoundingOfBf16Weights) {
  const std::vector<float> row = {0.8125f, -0.2109375f};
  const auto code = [&](Fp8Rule rule) {
    const Fp8Options options{.format = Format::kFp8Channel, .rule = rule};
    return bytes_of(checked(encode_fp8(source_of(row, 1, 2), options)).matrix.codes)[1];
  };
  EXPECT_EQ(code(Fp8Rule::kCompressedTensors), 0xEE);
  EXPECT_EQ(code(Fp8Rule::kStored), 0xEF);
  EXPECT_EQ(code(Fp8Rule::kModelOpt), 0xEF);
}

// Section 7: the BF16 scale is rounded down, the quotient 448.295 saturates.
TEST(EncodeFp8, WorkedBlockScale) {
  const std::vector<float> row = {0.0927734375f};
  const auto owned = checked(encode_fp8(source_of(row, 1, 1), {.format = Format::kFp8Block}));
  EXPECT_THAT(bytes_of(owned.matrix.scales), ElementsAreArray(hex("59 39")));
  EXPECT_THAT(bytes_of(owned.matrix.codes), ElementsAre(0x7E));
  const auto f32 = checked(
      encode_fp8(source_of(row, 1, 1), {.format = Format::kFp8Block, .scale_dtype = DType::kF32}));
  EXPECT_THAT(bytes_of(f32.matrix.scales), ElementsAreArray(hex("92 24 59 39")));
}

// Every tile has its own amax, edges included; zero tiles have scale 1.
TEST(EncodeFp8, TilesAreIndependent) {
  constexpr int64_t kRows = 130, kColumns = 140;
  std::vector<float> values(kRows * kColumns, 0.0f);
  values[0] = 448.0f;                       // tile (0, 0)
  values[129] = -224.0f;                    // tile (0, 1)
  values[(kRows - 1) * kColumns] = 112.0f;  // tile (1, 0)
  const auto owned =
      checked(encode_fp8(source_of(values, kRows, kColumns), {.format = Format::kFp8Block}));
  EXPECT_EQ(owned.matrix.scales.rows, 2);
  EXPECT_EQ(owned.matrix.scales.columns, 2);
  EXPECT_THAT(bytes_of(owned.matrix.scales), ElementsAreArray(hex("80 3f 00 3f 80 3e 80 3f")));
  EXPECT_EQ(decoded(owned), values);
  const auto transformers =
      checked(encode_fp8(source_of(values, kRows, kColumns), {.rule = Fp8Rule::kTransformers}));
  EXPECT_EQ(decoded(transformers), values);
}

// transformers multiplies by 448/amax and stores the inverse of that.
TEST(EncodeFp8, TransformersRule) {
  const auto values = random_weights(128 * 128);
  const auto owned = checked(encode_fp8(
      source_of(values, 128, 128), {.rule = Fp8Rule::kTransformers, .scale_dtype = DType::kF32}));
  const float factor = 448.0f / amax_of(values);
  EXPECT_EQ(load_f32(owned.matrix.scales.bytes.data()), 1.0f / factor);
  const auto codes = bytes_of(owned.matrix.codes);
  for (size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(codes[i], f32_to_e4m3(values[i] * factor)) << i;
}

TEST(EncodeFp8, ZeroRows) {
  const std::vector<float> values(6, 0.0f);
  const auto ct =
      checked(encode_fp8(source_of(values, 2, 3),
                         {.format = Format::kFp8Channel, .rule = Fp8Rule::kCompressedTensors}));
  EXPECT_THAT(bytes_of(ct.matrix.scales), ElementsAreArray(hex("00 3c 00 3c")));  // 2^-7
  for (const Format format : {Format::kFp8Block, Format::kFp8Channel, Format::kFp8Tensor}) {
    for (const Fp8Rule rule : {Fp8Rule::kStored, Fp8Rule::kCompressedTensors, Fp8Rule::kModelOpt}) {
      EXPECT_EQ(
          decoded(checked(encode_fp8(source_of(values, 2, 3), {.format = format, .rule = rule}))),
          values);
    }
  }
}

TEST(EncodeFp8, TinyWeightsKeepNormalScales) {
  const std::vector<float> values = {0x1p-130f, -0x1p-131f};
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto owned = checked(
        encode_fp8(source_of(values, 1, 2), {.format = Format::kFp8Tensor, .scale_dtype = dtype}));
    EXPECT_EQ(decoded(owned), values);
  }
}

// ---- MX

// quantization-algorithms.md section 4, both tables.
TEST(EncodeMx, ExponentRules) {
  struct Case {
    float amax;
    int ocp, ct, modelopt;
  };
  for (const Case& c : {Case{4, 0, 0, 0},
                        {5, 0, 0, 0},
                        {6, 0, 0, 0},
                        {6.5f, 0, 0, 1},
                        {7, 0, 1, 1},
                        {8, 1, 1, 1}}) {
    EXPECT_EQ(mx_scale_code(c.amax, true, MxRule::kOcp), 127 + c.ocp) << c.amax;
    EXPECT_EQ(mx_scale_code(c.amax, true, MxRule::kCompressedTensors), 127 + c.ct) << c.amax;
    EXPECT_EQ(mx_scale_code(c.amax, true, MxRule::kModelOpt), 127 + c.modelopt) << c.amax;
  }
  for (const Case& c :
       {Case{256, 0, 0, 0}, {440, 0, 0, 0}, {448, 0, 1, 0}, {449, 0, 1, 1}, {512, 1, 1, 1}}) {
    EXPECT_EQ(mx_scale_code(c.amax, false, MxRule::kOcp), 127 + c.ocp) << c.amax;
    EXPECT_EQ(mx_scale_code(c.amax, false, MxRule::kCompressedTensors), 127 + c.ct) << c.amax;
    EXPECT_EQ(mx_scale_code(c.amax, false, MxRule::kModelOpt), 127 + c.modelopt) << c.amax;
  }
  for (const MxRule rule : {MxRule::kOcp, MxRule::kCompressedTensors, MxRule::kModelOpt}) {
    EXPECT_EQ(mx_scale_code(0, true, rule), 0);
    EXPECT_EQ(mx_scale_code(std::numeric_limits<float>::denorm_min(), true, rule), 0);
    EXPECT_LE(mx_scale_code(std::numeric_limits<float>::max(), true, rule), 254);
  }
}

// The tie row: RNE in compressed-tensors (the HF nibble order of the bytes printed in ggml's
// order).
TEST(EncodeMx, TiesToEven) {
  std::vector<float> row;
  for (int i = 0; i < 32; ++i) row.push_back(static_cast<float>((7 * i + 3) % 32 - 16) / 8);
  const auto ct =
      checked(encode_mx(source_of(row, 1, 32), Format::kMxfp4, MxRule::kCompressedTensors));
  EXPECT_THAT(bytes_of(ct.matrix.scales), ElementsAre(0x7e));
  EXPECT_THAT(bytes_of(ct.matrix.codes),
              ElementsAreArray(hex("bd 40 c6 2a e5 0c 64 ad 42 ce 38 d5 1a e4 9c 52")));
}

// ModelOpt: ties to the smaller magnitude, zeros as code 8.
TEST(EncodeMx, ModelOptTiesAndZeros) {
  std::vector<float> row(32, 0.0f);
  row[0] = 6;
  row[1] = 0.75f;
  row[2] = -2.5f;
  row[3] = 3.5f;
  row[4] = -0.1f;
  const auto owned = checked(
      encode_mx(source_of(row, 1, 32, SourceType::kF32), Format::kMxfp4, MxRule::kModelOpt));
  EXPECT_THAT(bytes_of(owned.matrix.scales), ElementsAre(0x7f));
  const auto codes = bytes_of(owned.matrix.codes);
  EXPECT_EQ(codes[0], 0x17);
  EXPECT_EQ(codes[1], 0x5C);
  EXPECT_EQ(codes[2], 0x88);
}

TEST(EncodeMx, Fp8Elements) {
  const auto values = random_weights(4 * 64);
  for (const MxRule rule : {MxRule::kOcp, MxRule::kCompressedTensors, MxRule::kModelOpt}) {
    const auto owned = checked(encode_mx(source_of(values, 4, 64), Format::kMxfp8, rule));
    const auto out = decoded(owned);
    for (size_t i = 0; i < values.size(); ++i) {
      // Half a step of a 3-bit mantissa, or saturation below 512/448 for OCP, or half a subnormal
      // step.
      const float scale = e8m0_to_f32(bytes_of(owned.matrix.scales)[i / 32]);
      const float limit = rule == MxRule::kOcp ? 0.125f : 0.0625f;
      ASSERT_LE(std::fabs(out[i] - values[i]),
                std::max(limit * std::fabs(values[i]), 0x1p-10f * scale))
          << i;
    }
  }
}

// ---- Integers

// Sixteen levels over amax: s = bf16(amax / 7.5), the largest element meets the clamp.
TEST(EncodeInteger, SymmetricGroups) {
  std::vector<float> values = random_weights(4 * 256);
  values[10] = 0.75f;
  const auto owned = checked(encode_integer(source_of(values, 4, 256), {.packed = true}));
  EXPECT_EQ(owned.matrix.codes.columns, 32);
  EXPECT_EQ(load_u16(owned.matrix.scales.bytes.data()), f32_to_bf16(0.75f / 7.5f));
  const auto out = decoded(owned);
  for (size_t i = 0; i < values.size(); ++i) {
    const float scale = bf16_to_f32(load_u16(owned.matrix.scales.bytes.data() + 2 * (i / 128)));
    ASSERT_LE(std::fabs(out[i] - values[i]), 0.52f * scale) << i;
  }
  const auto bytes =
      checked(encode_integer(source_of(values, 4, 256), {.format = Format::kInt4A8}));
  EXPECT_EQ(decoded(bytes), out);
}

TEST(EncodeInteger, AsymmetricWithEveryWidth) {
  std::vector<float> values = random_weights(10 * 96);
  for (size_t i = 0; i < 96; ++i)
    values[i] = std::fabs(values[i]);  // a row without negative values
  for (int bits = 2; bits <= 8; ++bits) {
    const IntegerOptions options{.format = bits == 8 ? Format::kInt8 : Format::kInt4,
                                 .bits = bits,
                                 .group = 32,
                                 .symmetric = false,
                                 .packed = true};
    const auto owned =
        checked(encode_integer(source_of(values, 10, 96, SourceType::kF32), options));
    const auto out = decoded(owned);
    for (size_t i = 0; i < values.size(); ++i) {
      const float scale = load_f32(owned.matrix.scales.bytes.data() + 4 * (i / 32));
      // Half a step, plus what the rounding of the zero point costs at the end of the range.
      ASSERT_LE(std::fabs(out[i] - values[i]), 1.001f * scale) << bits << " " << i;
    }
  }
}

TEST(EncodeInteger, Int8Channel) {
  const std::vector<float> values = {127.5f, -63.75f, 0, 1};
  const auto owned = checked(encode_integer(source_of(values, 1, 4, SourceType::kF32),
                                            {.format = Format::kInt8, .bits = 8, .group = 0}));
  EXPECT_EQ(load_f32(owned.matrix.scales.bytes.data()), 1.0f);
  EXPECT_THAT(bytes_of(owned.matrix.codes), ElementsAre(127, 256 - 64, 0, 1));
}

}  // namespace
}  // namespace sluice::codec::test
