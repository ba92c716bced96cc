// Run-time activation quantization: worked examples of formats-safetensors.md section 6, and its
// limits.
#include "codec/activation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "codec/number_formats.h"
#include "codec/worked_examples.h"

namespace sluice::codec::test {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr TensorScale kNoScale;

std::vector<float> quantized(ActivationScheme scheme, std::vector<float> row,
                             TensorScale scale = kNoScale) {
  quantize_activations(scheme, scale, row);
  return row;
}

// 6.1: s = 7/448 = 0.015625.
TEST(Activation, Fp8TokenWorkedExample) {
  const auto codes = hex("60 f4 6a 18 7e ba 70 00");
  const auto row =
      quantized(ActivationScheme::kFp8TokenDynamic, {0.5f, -3, 1.25f, 0.001f, 7, -0.02f, 2, 0});
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(row[i], kE4m3Values[codes[i]] * 0.015625f) << i;
}

// The scale has a floor, so that a nearly silent row is not blown up: 2^-9 of the floor is the
// smallest value that survives, half of it is a tie that goes to 0.
TEST(Activation, Fp8TokenFloor) {
  const float floor = 1.0f / (448.0f * 512.0f);
  EXPECT_EQ(quantized(ActivationScheme::kFp8TokenDynamic, {floor * 0x1p-9f})[0], floor * 0x1p-9f);
  EXPECT_EQ(quantized(ActivationScheme::kFp8TokenDynamic, {floor * 0x1p-10f})[0], 0.0f);
  EXPECT_THAT(quantized(ActivationScheme::kFp8TokenDynamic, {0, 0, 0}), Each(0.0f));
}

TEST(Activation, Fp8StaticSaturates) {
  const auto row = quantized(ActivationScheme::kFp8TensorStatic, {1, 2.0625f, 1000, -1000},
                             {TensorScale::Use::kMultiply, 0.5f});
  EXPECT_THAT(row, ElementsAre(1, 2, 224, -224));
}

// Each 128 columns have their own scale, the short tail too.
TEST(Activation, Fp8GroupsAreIndependent) {
  std::vector<float> row(300, 1.0f);
  row[5] = 448;
  row[130] = 4480;
  const auto out = quantized(ActivationScheme::kFp8Group128, row);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[5], 448.0f);
  EXPECT_EQ(out[131], kE4m3Values[f32_to_e4m3(1.0f / (4480.0f / 448.0f))] * (4480.0f / 448.0f));
  EXPECT_NE(out[131], 1.0f);
  EXPECT_EQ(out[299], 448.0f * (1.0f / 448.0f));
  EXPECT_THAT(quantized(ActivationScheme::kFp8Group128, std::vector<float>(200, 0.0f)), Each(0.0f));
}

// 6.2: g = 100, amax16 = 3: raw = 50 is a tie between 48 and 52; 3 * 2.083333 = 6.25 -> 6.
TEST(Activation, Nvfp4WorkedExample) {
  std::vector<float> row(16, 0.0f);
  row[0] = 3;
  row[1] = -0.72f;  // 1.5
  const auto out = quantized(ActivationScheme::kNvfp4, row, {TensorScale::Use::kDivide, 100.0f});
  EXPECT_EQ(out[0], 6.0f * (48.0f / 100.0f));
  EXPECT_EQ(out[1], -1.5f * (48.0f / 100.0f));
  const auto modelopt =
      quantized(ActivationScheme::kNvfp4, row, {TensorScale::Use::kMultiply, 0.01f});
  EXPECT_EQ(modelopt[0], 6.0f * (48.0f * 0.01f));
}

// Larger than calibrated: the block scale saturates at 448, then the codes at 6. Far smaller: the
// block becomes zero.
TEST(Activation, Nvfp4OutsideTheCalibratedRange) {
  const TensorScale scale{TensorScale::Use::kDivide, 448.0f};  // calibrated amax 6
  EXPECT_THAT(quantized(ActivationScheme::kNvfp4, std::vector<float>(16, 100.0f), scale),
              Each(6.0f));
  EXPECT_THAT(quantized(ActivationScheme::kNvfp4, std::vector<float>(16, 1e-6f), scale),
              Each(0.0f));
}

TEST(Activation, Int8Token) {
  const auto row = quantized(ActivationScheme::kInt8TokenDynamic, {127, -126.6f, 0.5f, 1.5f, 0});
  EXPECT_THAT(row, ElementsAre(127, -127, 0, 2, 0));
  EXPECT_THAT(quantized(ActivationScheme::kInt8TokenDynamic, {0, 0}), Each(0.0f));
}

TEST(Activation, MxRules) {
  std::vector<float> row(32, 1.0f);
  row[0] = 7;  // compressed-tensors goes up to exponent 1, ModelOpt too; OCP stays and saturates
  std::vector<float> ocp = row;
  quantize_activations(ActivationScheme::kMxfp4, kNoScale, ocp, MxRule::kOcp);
  EXPECT_EQ(ocp[0], 6.0f);
  EXPECT_EQ(quantized(ActivationScheme::kMxfp4, row)[0], 8.0f);  // 3.5 is a tie to even 4, times 2
  row[0] = 448;
  EXPECT_EQ(quantized(ActivationScheme::kMxfp8, row)[0], 448.0f);
  EXPECT_EQ(quantized(ActivationScheme::kMxfp8, row)[1], 1.0f);
  EXPECT_THAT(quantized(ActivationScheme::kMxfp8, std::vector<float>(40, 0.0f)), Each(0.0f));
}

TEST(Activation, NoneLeavesTheRowAlone) {
  EXPECT_THAT(quantized(ActivationScheme::kNone, {0.1f, -2}), ElementsAre(0.1f, -2.0f));
}

}  // namespace
}  // namespace sluice::codec::test
