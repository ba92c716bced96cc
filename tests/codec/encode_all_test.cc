// What holds for all encoders: idempotence, the table of errors, refusals, moving the result.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "codec/encode.h"
#include "codec/encode_support.h"
#include "codec/number_formats.h"

namespace sluice::codec::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

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
