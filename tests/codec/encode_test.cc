// Encoders against the specification's worked bytes and rules, and what they refuse.
#include "codec/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "codec/bytes.h"
#include "codec/codec.h"
#include "codec/nvfp4.h"
#include "codec/worked_examples.h"

namespace sluice::codec::test {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

WeightSource source_of(std::span<const float> values, int64_t rows, int64_t columns,
                       SourceType type = SourceType::kBf16) {
  return {"w", values, rows, columns, type};
}

std::vector<uint8_t> bytes_of(const Plane& plane) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(plane.bytes.data());
  return {bytes, bytes + plane.bytes.size()};
}

OwnedMatrix checked(Result<OwnedMatrix> result) {
  EXPECT_TRUE(result.ok()) << result.error().message();
  if (!result.ok()) return {};
  OwnedMatrix owned = *std::move(result);
  for (const Status& status : {check_matrix(owned.matrix, "w"), check_scales(owned.matrix, "w"),
                               check_codes(owned.matrix, "w")}) {
    EXPECT_TRUE(status.ok()) << status.error().message();
  }
  return owned;
}

std::vector<float> decoded(const OwnedMatrix& owned) {
  std::vector<float> out(static_cast<size_t>(owned.matrix.rows * owned.matrix.columns));
  decode_rows(owned.matrix, 0, owned.matrix.rows, out.data());
  return out;
}

// Student t with 5 degrees of freedom, RMS 0.02, BF16, fixed seed.
std::vector<float> random_weights(size_t count, unsigned seed = 7) {
  std::mt19937 engine(seed);
  std::student_t_distribution<float> distribution(5.0f);
  std::vector<float> values(count);
  for (float& value : values)
    value = round_to_bf16(0.02f / std::sqrt(5.0f / 3.0f) * distribution(engine));
  return values;
}

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

// ---- All

// quantization-algorithms.md section 9.5: encoding what was decoded changes nothing when the scales
// are kept.
TEST(Encode, IsIdempotent) {
  const auto values = random_weights(16 * 256);
  const auto source = source_of(values, 16, 256, SourceType::kF32);
  const auto again = [&](const OwnedMatrix& first, auto encode) {
    const auto out = decoded(first);
    EXPECT_EQ(decoded(checked(encode(source_of(out, 16, 256, SourceType::kF32)))), out);
  };
  const auto nvfp4 = checked(encode_nvfp4(source, {}));
  again(nvfp4, [&](const WeightSource& s) {
    return encode_nvfp4(s, {.tensor_scale = nvfp4.matrix.tensor_scale});
  });
  const auto mxfp4 = [](const WeightSource& s) {
    return encode_mx(s, Format::kMxfp4, MxRule::kOcp);
  };
  again(checked(mxfp4(source)), mxfp4);
  const auto mxfp8 = [](const WeightSource& s) {
    return encode_mx(s, Format::kMxfp8, MxRule::kModelOpt);
  };
  again(checked(mxfp8(source)), mxfp8);
  const auto q8 = [](const WeightSource& s) { return encode_ggml(s, Format::kQ8_0); };
  again(checked(q8(source)), q8);
}

// Error in percent of the root mean square of the weights.
double relative_error(std::span<const float> values, Result<OwnedMatrix> result) {
  const auto out = decoded(checked(std::move(result)));
  double energy = 0, sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    energy += double{values[i]} * values[i];
    sum += (double{out[i]} - values[i]) * (double{out[i]} - values[i]);
  }
  return 100 * std::sqrt(sum / energy);
}

// The table of quantization-algorithms.md 3.3, Student t, within its 2 %.
TEST(Encode, ErrorsOfTheTable) {
  const auto values = random_weights(256 * 2048);
  const auto source = source_of(values, 256, 2048);
  const auto expect = [&](Result<OwnedMatrix> result, double table, const char* what) {
    EXPECT_NEAR(relative_error(values, std::move(result)), table, 0.02 * table) << what;
  };
  expect(encode_nvfp4(source, {}), 9.24, "NVFP4");
  expect(encode_nvfp4(source, {.four_over_six = true}), 8.67, "four over six");
  expect(encode_mx(source, Format::kMxfp4, MxRule::kOcp), 12.54, "MXFP4 floor");
  expect(encode_mx(source, Format::kMxfp4, MxRule::kModelOpt), 13.20, "MXFP4 ceil");
  expect(encode_mx(source, Format::kMxfp4, MxRule::kCompressedTensors), 12.33, "MXFP4 CT");
  expect(encode_mx(source, Format::kMxfp8, MxRule::kOcp), 3.11, "MXFP8 floor");
  expect(encode_mx(source, Format::kMxfp8, MxRule::kModelOpt), 2.66, "MXFP8 ceil");
  expect(encode_fp8(source, {.format = Format::kFp8Channel}), 2.63, "FP8 channel");
  expect(encode_fp8(source, {.format = Format::kFp8Block}), 2.64, "FP8 block");
  expect(encode_ggml(source, Format::kQ4_0), 10.74, "Q4_0");
  expect(encode_ggml(source, Format::kQ4_K), 8.28, "Q4_K");
  expect(encode_ggml(source, Format::kQ5_K), 4.20, "Q5_K");
  expect(encode_ggml(source, Format::kQ6_K), 2.14, "Q6_K");
  expect(encode_ggml(source, Format::kQ8_0), 0.673, "Q8_0");
}

// ggml's single-level NVFP4 depends on the size of the weights, which the table gives for its
// Gaussian column only.
TEST(Encode, ErrorOfSingleLevelNvfp4) {
  std::mt19937 engine(11);
  std::normal_distribution<float> distribution(0.0f, 0.02f);
  std::vector<float> values(256 * 2048);
  for (float& value : values) value = round_to_bf16(distribution(engine));
  EXPECT_NEAR(relative_error(values, encode_ggml(source_of(values, 256, 2048), Format::kGgmlNvfp4)),
              10.31, 0.2);
}

TEST(Encode, FloatsRoundOnce) {
  const std::vector<float> values = {1.0f, 0x1.01p0f, 0x1.03p0f, -0x1p-24f};
  EXPECT_THAT(
      decoded(checked(encode_floats(source_of(values, 2, 2, SourceType::kF32), Format::kBF16))),
      ElementsAre(1.0f, 1.0f, 0x1.04p0f, -0x1p-24f));
  EXPECT_EQ(
      decoded(checked(encode_floats(source_of(values, 2, 2, SourceType::kF32), Format::kF16))),
      values);
  EXPECT_EQ(
      decoded(checked(encode_floats(source_of(values, 2, 2, SourceType::kF32), Format::kF32))),
      values);
}

TEST(Encode, RefusesWhatCannotBeEncoded) {
  const auto refusal = [](const Result<OwnedMatrix>& result) {
    return result.ok() ? std::string("accepted") : result.error().message();
  };
  std::vector<float> values(4 * 256, 0.5f);
  values[259] = std::numeric_limits<float>::quiet_NaN();
  const auto nan = source_of(values, 4, 256);
  for (const std::string& text :
       {refusal(encode_floats(nan, Format::kBF16)), refusal(encode_fp8(nan, {})),
        refusal(encode_nvfp4(nan, {})), refusal(encode_mx(nan, Format::kMxfp4, MxRule::kOcp)),
        refusal(encode_integer(nan, {})), refusal(encode_ggml(nan, Format::kQ4_K))}) {
    EXPECT_THAT(text, HasSubstr("w: value [1, 3] is nan"));
  }
  const std::vector<float> narrow(2 * 24, 1.0f);
  const auto odd = source_of(narrow, 2, 24);
  EXPECT_THAT(refusal(encode_nvfp4(odd, {})),
              HasSubstr("24 columns are not a multiple of the block width 16"));
  EXPECT_THAT(refusal(encode_mx(odd, Format::kMxfp8, MxRule::kOcp)), HasSubstr("block width 32"));
  EXPECT_THAT(refusal(encode_integer(odd, {})), HasSubstr("group 128"));
  EXPECT_THAT(refusal(encode_ggml(odd, Format::kQ6_K)), HasSubstr("block width 256 of Q6_K"));
  const std::vector<float> large(256, 3e38f), tiny(256, 1e-36f);
  EXPECT_THAT(refusal(encode_floats(source_of(large, 1, 256), Format::kF16)),
              HasSubstr("exceeds F16"));
  EXPECT_THAT(refusal(encode_ggml(source_of(large, 1, 256), Format::kQ8_0)),
              HasSubstr("beyond F16"));
  EXPECT_THAT(refusal(encode_nvfp4(source_of(tiny, 1, 256), {})), HasSubstr("outside F32"));
  const std::vector<float> importance(256, -1.0f), ones(256, 1.0f);
  EXPECT_THAT(refusal(encode_ggml(source_of(ones, 1, 256), Format::kQ4_K, importance)),
              HasSubstr("importance"));
}

TEST(Encode, MovedMatrixKeepsItsPlanes) {
  const auto values = random_weights(4 * 64);
  OwnedMatrix first = checked(encode_nvfp4(source_of(values, 4, 64), {}));
  const auto before = decoded(first);
  const OwnedMatrix second = std::move(first);
  EXPECT_EQ(decoded(second), before);
}

}  // namespace
}  // namespace sluice::codec::test
