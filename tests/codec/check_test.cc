// What check_matrix, check_scales and check_codes refuse, and what their errors say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <vector>

#include "codec/codec.h"
#include "codec/number_formats.h"

namespace sluice::codec {
namespace {

using testing::HasSubstr;

// A matrix with bytes of its own, to be damaged.
struct Sample {
  std::vector<std::byte> codes, scales, zero_points;
  EncodedMatrix matrix;

  void bind() {
    matrix.codes.bytes = codes;
    matrix.scales.bytes = scales;
    matrix.zero_points.bytes = zero_points;
  }
};

Plane shape(DType dtype, int64_t rows, int64_t columns) { return {{}, dtype, rows, columns}; }

void fill(std::vector<std::byte>& bytes, const Plane& plane, uint8_t value) {
  const auto elements = static_cast<uint64_t>(plane.rows * plane.columns);
  bytes.assign(dtype_bytes(plane.dtype, elements).value(), std::byte{value});
}

Sample sample(Format format, int64_t rows, int64_t columns, Plane codes, Plane scales,
              int64_t block_rows, int64_t block_columns, uint8_t scale_byte) {
  Sample s;
  s.matrix.format = format;
  s.matrix.rows = rows;
  s.matrix.columns = columns;
  s.matrix.codes = codes;
  s.matrix.scales = scales;
  s.matrix.block_rows = block_rows;
  s.matrix.block_columns = block_columns;
  fill(s.codes, codes, 0x31);
  if (scales.rows > 0) fill(s.scales, scales, scale_byte);
  s.bind();
  return s;
}

Sample fp8_block() {
  return sample(Format::kFp8Block, 200, 130, shape(DType::kF8E4M3, 200, 130),
                shape(DType::kBF16, 2, 2), 128, 128, 0x3C);
}
Sample fp8_channel() {
  return sample(Format::kFp8Channel, 3, 4, shape(DType::kF8E4M3, 3, 4), shape(DType::kF32, 3, 1), 1,
                4, 0x3C);
}
Sample nvfp4() {
  Sample s = sample(Format::kNvfp4, 2, 64, shape(DType::kU8, 2, 32), shape(DType::kF8E4M3, 2, 4), 1,
                    16, 0x38);
  s.matrix.tensor_scale = {TensorScale::Use::kDivide, 840.0f};
  return s;
}
Sample mxfp4() {
  return sample(Format::kMxfp4, 2, 64, shape(DType::kU8, 2, 32), shape(DType::kU8, 2, 2), 1, 32,
                0x7F);
}
Sample int4_packed() {
  Sample s = sample(Format::kInt4, 10, 64, shape(DType::kI32, 10, 8), shape(DType::kBF16, 10, 2), 1,
                    32, 0x3C);
  s.matrix.bits = 4;
  s.matrix.packed = true;
  s.matrix.zero_points = shape(DType::kI32, 2, 2);
  fill(s.zero_points, s.matrix.zero_points, 0x88);
  s.bind();
  return s;
}
Sample int4_bytes() {
  Sample s =
      sample(Format::kInt4A8, 2, 8, shape(DType::kI8, 2, 8), shape(DType::kBF16, 2, 1), 1, 8, 0x3C);
  s.codes.assign(16, std::byte{7});
  s.matrix.bits = 4;
  s.bind();
  return s;
}
Sample ggml(Format format, DType dtype, int64_t columns) {
  return sample(format, 2, columns, shape(dtype, 2, columns), {}, 0, 0, 0);
}

std::string refusal(const Status& status) {
  return status.ok() ? "accepted" : status.error().message();
}

TEST(CheckMatrix, AcceptsEachKind) {
  for (const auto& make : {fp8_block, fp8_channel, nvfp4, mxfp4, int4_packed, int4_bytes}) {
    const Sample s = make();
    EXPECT_TRUE(check_matrix(s.matrix, "w").ok()) << refusal(check_matrix(s.matrix, "w"));
    EXPECT_TRUE(check_scales(s.matrix, "w").ok()) << refusal(check_scales(s.matrix, "w"));
    EXPECT_TRUE(check_codes(s.matrix, "w").ok()) << refusal(check_codes(s.matrix, "w"));
  }
}

TEST(CheckMatrix, ModelOptChannelScalesMayLieInARow) {
  Sample s = fp8_channel();
  std::swap(s.matrix.scales.rows, s.matrix.scales.columns);
  EXPECT_TRUE(check_matrix(s.matrix, "w").ok());
}

struct Damage {
  const char* what;
  Sample (*make)();
  std::function<void(Sample&)> apply;
  const char* says;
};

TEST(CheckMatrix, RefusesWithRuleAndValues) {
  const std::vector<Damage> damages = {
      {"no rows", fp8_block, [](Sample& s) { s.matrix.rows = 0; }, "0 x 130"},
      {"negative columns", fp8_block, [](Sample& s) { s.matrix.columns = -1; }, "200 x -1"},
      {"huge", fp8_block, [](Sample& s) { s.matrix.rows = std::numeric_limits<int64_t>::max(); },
       "weight of"},
      {"codes too short", fp8_block, [](Sample& s) { s.codes.pop_back(); },
       "25999 bytes, expected 26000"},
      {"codes of another dtype", fp8_block, [](Sample& s) { s.matrix.codes.dtype = DType::kU8; },
       "codes are U8"},
      {"scales padded", fp8_block, [](Sample& s) { s.matrix.scales.rows = 3; },
       "[3, 2], expected [2, 2]"},
      {"scales missing", fp8_block, [](Sample& s) { s.matrix.scales = {}; },
       "scales have shape [0, 0]"},
      {"scales E4M3", fp8_block, [](Sample& s) { s.matrix.scales.dtype = DType::kF8E4M3; },
       "scales are F8_E4M3"},
      {"tile of 96", fp8_block, [](Sample& s) { s.matrix.block_rows = 96; }, "96 x 128"},
      {"stray tensor scale", fp8_block,
       [](Sample& s) {
         s.matrix.tensor_scale = {TensorScale::Use::kMultiply, 1};
       },
       "tensor scale"},
      {"stray zero points", fp8_block, [](Sample& s) { s.zero_points.resize(4); }, "zero points"},
      {"no tensor scale", nvfp4, [](Sample& s) { s.matrix.tensor_scale = {}; }, "no tensor scale"},
      {"group 32 without W4A8", nvfp4,
       [](Sample& s) {
         s.matrix.block_columns = 32;
         s.matrix.scales.columns = 2;
         s.scales.resize(4);
       },
       "1 x 32"},
      {"group 0", nvfp4, [](Sample& s) { s.matrix.block_columns = 0; }, "1 x 0"},
      {"columns not whole groups", nvfp4, [](Sample& s) { s.matrix.columns = 63; },
       "multiple of the block width 16"},
      {"bits 9", int4_packed, [](Sample& s) { s.matrix.bits = 9; }, "9 bits"},
      {"bits 0", int4_packed, [](Sample& s) { s.matrix.bits = 0; }, "0 bits"},
      {"group 0 of integers", int4_packed, [](Sample& s) { s.matrix.block_columns = 0; }, "1 x 0"},
      {"zero points too few", int4_packed, [](Sample& s) { s.matrix.zero_points.rows = 1; },
       "expected [2, 2]"},
      {"zero points of bytes", int4_bytes, [](Sample& s) { s.zero_points.resize(2); },
       "zero points"},
      {"exponents missing", mxfp4, [](Sample& s) { s.scales.clear(); }, "0 bytes, expected 4"},
  };
  for (const Damage& damage : damages) {
    Sample s = damage.make();
    damage.apply(s);
    s.bind();
    const Status status = check_matrix(s.matrix, "model.w");
    ASSERT_FALSE(status.ok()) << damage.what;
    EXPECT_EQ(status.error().code, ErrorCode::kBadInput);
    EXPECT_EQ(status.error().what, "model.w");
    EXPECT_THAT(status.error().why, HasSubstr("Q-4")) << damage.what;
    EXPECT_THAT(status.error().why, HasSubstr(damage.says)) << damage.what;
    EXPECT_FALSE(status.error().remedy.empty());
  }
}

TEST(CheckMatrix, RefusesUnknownFormatAndPartialBlocks) {
  Sample s = ggml(Format::kQ4_K, DType::kQ4_K, 256);
  EXPECT_TRUE(check_matrix(s.matrix, "w").ok());
  s.matrix.format = static_cast<Format>(200);
  EXPECT_THAT(refusal(check_matrix(s.matrix, "w")), HasSubstr("unknown format 200"));
  s = ggml(Format::kQ4_K, DType::kQ4_K, 256);
  // The same bytes claimed as four rows of half a block each.
  s.matrix.rows = s.matrix.codes.rows = 4;
  s.matrix.columns = s.matrix.codes.columns = 128;
  EXPECT_THAT(refusal(check_matrix(s.matrix, "w")), HasSubstr("not whole blocks of 256"));
}

TEST(CheckScales, RefusesValuesThatNoWriterMayProduce) {
  const std::vector<Damage> damages = {
      {"NaN scale", fp8_channel,
       [](Sample& s) {
         s.scales[7] = std::byte{0x7F};
         s.scales[6] = std::byte{0xC0};
       },
       "rule Q-5: scale [1, 0] is nan"},
      {"negative scale", fp8_channel, [](Sample& s) { s.scales[11] = std::byte{0xBC}; },
       "rule Q-5: scale [2, 0] is -"},
      {"infinite BF16 scale", fp8_block,
       [](Sample& s) {
         s.scales[2] = std::byte{0x80};
         s.scales[3] = std::byte{0x7F};
       },
       "rule Q-5: scale [0, 1] is inf"},
      {"zero scale over codes", fp8_block,
       [](Sample& s) { s.scales[6] = s.scales[7] = std::byte{0}; },
       "scale [1, 1] is 0, but its codes are not all 0"},
      {"zero scale over packed codes", int4_packed,
       [](Sample& s) { s.scales[2] = s.scales[3] = std::byte{0}; }, "scale [0, 1] is 0"},
      {"signed block scale", nvfp4, [](Sample& s) { s.scales[5] = std::byte{0xB8}; },
       "rule Q-6: scale [1, 1] is 0xB8"},
      {"NaN block scale", nvfp4, [](Sample& s) { s.scales[0] = std::byte{0x7F}; }, "rule Q-6"},
      {"E8M0 NaN", mxfp4, [](Sample& s) { s.scales[3] = std::byte{255}; },
       "rule Q-6: scale [1, 1] is 0xFF"},
      {"tensor scale 0", nvfp4, [](Sample& s) { s.matrix.tensor_scale.value = 0; }, "rule Q-5"},
      {"tensor scale NaN", nvfp4,
       [](Sample& s) { s.matrix.tensor_scale.value = std::numeric_limits<float>::quiet_NaN(); },
       "rule Q-5"},
      {"tensor scale negative", nvfp4, [](Sample& s) { s.matrix.tensor_scale.value = -1; },
       "rule Q-5"},
      {"divisor too small", nvfp4, [](Sample& s) { s.matrix.tensor_scale.value = 1e-36f; },
       "rule Q-8"},
      {"factor subnormal", nvfp4,
       [](Sample& s) {
         s.matrix.tensor_scale = {TensorScale::Use::kMultiply, 1e-39f};
       },
       "rule Q-8"},
  };
  for (const Damage& damage : damages) {
    Sample s = damage.make();
    damage.apply(s);
    s.bind();
    ASSERT_TRUE(check_matrix(s.matrix, "model.w").ok()) << damage.what;
    const Status status = check_scales(s.matrix, "model.w");
    ASSERT_FALSE(status.ok()) << damage.what;
    EXPECT_EQ(status.error().what, "model.w");
    EXPECT_THAT(status.error().why, HasSubstr(damage.says)) << damage.what;
  }
}

TEST(CheckScales, AllowsAZeroScaleOverZeroCodes) {
  Sample s = fp8_block();
  s.scales[6] = s.scales[7] = std::byte{0};
  for (int64_t row = 128; row < 200; ++row) {
    for (int64_t k = 128; k < 130; ++k)
      s.codes[static_cast<size_t>(row * 130 + k)] = std::byte{0x80};  // -0
  }
  s.bind();
  EXPECT_TRUE(check_scales(s.matrix, "w").ok()) << refusal(check_scales(s.matrix, "w"));

  s = int4_packed();  // zero points are 8 - 8 = 0; codes of the second group of row 0 likewise
  s.scales[2] = s.scales[3] = std::byte{0};
  for (size_t i = 16; i < 32; ++i) s.codes[i] = std::byte{0x88};
  s.bind();
  EXPECT_TRUE(check_scales(s.matrix, "w").ok()) << refusal(check_scales(s.matrix, "w"));
}

TEST(CheckCodes, NanCodesAreRefusedUnlessAllowed) {
  Sample s = fp8_block();
  s.codes[135] = std::byte{0x7F};
  s.codes[300] = std::byte{0xFF};
  s.bind();
  const Status status = check_codes(s.matrix, "w");
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().why,
              HasSubstr("rule Q-7: 2 codes are NaN, the first, 0x7F, at [1, 5]"));
  EXPECT_THAT(status.error().remedy, HasSubstr("--allow-nan"));
  EXPECT_TRUE(check_codes(s.matrix, "w", NanCodes::kZero).ok());
  EXPECT_EQ(count_nan_codes(s.matrix), 2);
}

TEST(CheckCodes, IntegerCodesWiderThanTheirBits) {
  Sample s = int4_bytes();
  s.codes[9] = std::byte{8};
  s.bind();
  EXPECT_THAT(refusal(check_codes(s.matrix, "w")), HasSubstr("code [1, 1] is 8, outside -8 to 7"));
  s.codes[9] = std::byte{0xF8};
  EXPECT_TRUE(check_codes(s.matrix, "w").ok());
}

TEST(CheckCodes, PlainFloatsMustBeFinite) {
  Sample s = sample(Format::kBF16, 2, 2, shape(DType::kBF16, 2, 2), {}, 0, 0, 0);
  s.codes[4] = std::byte{0x80};
  s.codes[5] = std::byte{0x7F};
  s.bind();
  EXPECT_THAT(refusal(check_codes(s.matrix, "w")), HasSubstr("rule GG-17: value [1, 0] is inf"));
}

// Every ggml type: an infinite or NaN scale in the second row's block is found, whichever field
// holds it.
TEST(CheckCodes, ScalesInsideGgmlBlocks) {
  struct Place {
    Format format;
    DType dtype;
    std::vector<size_t> f16_offsets;
  };
  const std::vector<Place> places = {
      {Format::kQ4_0, DType::kQ4_0, {0}},     {Format::kQ4_1, DType::kQ4_1, {0, 2}},
      {Format::kQ5_0, DType::kQ5_0, {0}},     {Format::kQ5_1, DType::kQ5_1, {0, 2}},
      {Format::kQ8_0, DType::kQ8_0, {0}},     {Format::kQ2_K, DType::kQ2_K, {80, 82}},
      {Format::kQ3_K, DType::kQ3_K, {108}},   {Format::kQ4_K, DType::kQ4_K, {0, 2}},
      {Format::kQ5_K, DType::kQ5_K, {0, 2}},  {Format::kQ6_K, DType::kQ6_K, {208}},
      {Format::kIQ4_NL, DType::kIQ4_NL, {0}}, {Format::kIQ4_XS, DType::kIQ4_XS, {0}},
  };
  for (const Place& place : places) {
    const auto& info = dtype_info(place.dtype);
    for (const size_t offset : place.f16_offsets) {
      for (const uint8_t high : {0x7C, 0xFC, 0x7E}) {
        Sample s = ggml(place.format, place.dtype, info.block_elements);
        ASSERT_TRUE(check_codes(s.matrix, "w").ok());
        const size_t at = static_cast<size_t>(info.block_bytes) + offset;
        s.codes[at] = std::byte{0};
        s.codes[at + 1] = std::byte{high};
        s.bind();
        EXPECT_THAT(refusal(check_codes(s.matrix, "w")), HasSubstr("rule GG-17: block 0 of row 1"))
            << info.name;
      }
    }
  }
  Sample s = ggml(Format::kGgmlMxfp4, DType::kGgmlMXFP4, 32);
  s.codes[17] = std::byte{255};
  EXPECT_THAT(refusal(check_codes(s.matrix, "w")), HasSubstr("GG-17"));
  s = ggml(Format::kGgmlNvfp4, DType::kGgmlNVFP4, 64);
  for (const size_t scale : {0, 1, 2, 3}) {
    for (const uint8_t byte : {0x7F, 0x80, 0xFF}) {
      s.codes[36 + scale] = std::byte{byte};
      EXPECT_THAT(refusal(check_codes(s.matrix, "w")), HasSubstr("GG-17"));
    }
    s.codes[36 + scale] = std::byte{0x7E};
  }
  EXPECT_TRUE(check_codes(s.matrix, "w").ok());
}

}  // namespace
}  // namespace sluice::codec
