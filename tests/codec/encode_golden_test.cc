// Our encoders against files that the formats' own tools wrote.
//
// The weights before quantization are in no file, with two exceptions (lm_head, quantized in some
// files and BF16 in others). But most folders are quantizations of the same model, so three FP8
// files leave a few BF16 candidates for every weight: an encoder is right only if some choice among
// them gives a golden file's bytes, row by row.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "codec/bytes.h"
#include "codec/codec.h"
#include "codec/encode.h"
#include "codec/golden_file.h"
#include "codec/golden_matrix.h"
#include "codec/integer.h"
#include "support/paths.h"

namespace sluice::codec::test {
namespace {

std::vector<float> bf16_values(const GoldenTensor& tensor) {
  std::vector<float> values(tensor.bytes.size() / 2);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = bf16_to_f32(load_u16(tensor.bytes.data() + 2 * i));
  return values;
}

bool same_bytes(const Plane& a, const Plane& b) {
  return a.rows == b.rows && a.columns == b.columns &&
         std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end());
}

TEST(EncodeGolden, LmHeadAsFp8ChannelByCompressedTensors) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/formats");
  const GoldenFile plain(folder / "ct-fp8-block/model.safetensors"),
      quantized(folder / "ct-mixed/model.safetensors");
  const GoldenTensor& weight = plain.at("lm_head.weight");
  const auto values = bf16_values(weight);
  const EncodedMatrix golden = safetensors_matrix(quantized, "lm_head");
  const auto ours =
      encode_fp8({"lm_head", values, weight.rows(), weight.columns()},
                 {.format = Format::kFp8Channel, .rule = Fp8Rule::kCompressedTensors});
  ASSERT_TRUE(ours.ok());
  EXPECT_TRUE(same_bytes(ours->matrix.codes, golden.codes));
  EXPECT_TRUE(same_bytes(ours->matrix.scales, golden.scales));
}

TEST(EncodeGolden, LmHeadAsNvfp4ByModelOpt) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/formats");
  const GoldenFile plain(folder / "mo-nvfp4/model.safetensors"),
      quantized(folder / "mo-mixed/model.safetensors");
  const GoldenTensor& weight = plain.at("lm_head.weight");
  const auto values = bf16_values(weight);
  const EncodedMatrix golden = safetensors_matrix(quantized, "lm_head");
  const auto ours = encode_nvfp4({"lm_head", values, weight.rows(), weight.columns()},
                                 {.rule = Nvfp4Rule::kModelOpt});
  ASSERT_TRUE(ours.ok());
  EXPECT_EQ(ours->matrix.tensor_scale.value, golden.tensor_scale.value);
  EXPECT_TRUE(same_bytes(ours->matrix.codes, golden.codes));
  EXPECT_TRUE(same_bytes(ours->matrix.scales, golden.scales));
}

// Errors of the tools' encoders on one matrix, as goldens/formats/README.md prints them.
TEST(EncodeGolden, ErrorOnTheAnchor) {
  SLUICE_REQUIRE_SHARED(path, "goldens/formats/encoding_anchor.safetensors.zst");
  const GoldenFile file(path);
  const GoldenTensor& weight = file.at("weight");
  const auto values = bf16_values(weight);
  const WeightSource source{"weight", values, weight.rows(), weight.columns()};
  const auto error_of = [&](const Result<OwnedMatrix>& result) {
    std::vector<float> row(static_cast<size_t>(weight.columns()));
    double sum = 0, energy = 0;
    for (int64_t n = 0; n < weight.rows(); ++n) {
      decode_rows(result->matrix, n, 1, row.data());
      for (size_t k = 0; k < row.size(); ++k) {
        const double x = values[static_cast<size_t>(n) * row.size() + k];
        sum += (row[k] - x) * (row[k] - x);
        energy += x * x;
      }
    }
    return 100 * std::sqrt(sum / energy);
  };
  constexpr double kPrinted = 0.005;  // two digits
  // One figure is printed for both tools; compressed-tensors' BF16 arithmetic gives 9.207, its F32
  // arithmetic 9.202.
  WeightSource wide = source;
  wide.type = SourceType::kF32;
  EXPECT_NEAR(error_of(encode_nvfp4(wide, {.rule = Nvfp4Rule::kCompressedTensors})), 9.20,
              kPrinted);
  EXPECT_NEAR(error_of(encode_nvfp4(source, {.rule = Nvfp4Rule::kModelOpt})), 9.20, kPrinted);
  EXPECT_NEAR(error_of(encode_nvfp4(source, {.rule = Nvfp4Rule::kModelOpt, .four_over_six = true})),
              8.68, kPrinted);
  EXPECT_NEAR(error_of(encode_fp8(source, {.rule = Fp8Rule::kTransformers})), 2.63, kPrinted);
  EXPECT_NEAR(error_of(encode_fp8(
                  source, {.format = Format::kFp8Channel, .rule = Fp8Rule::kCompressedTensors})),
              2.63, kPrinted);
}

// ---- A common source for all files of base T

const char* const kModules[] = {"model.language_model.layers.0.linear_attn.out_proj",
                                "model.language_model.layers.1.self_attn.q_proj"};

// BF16 numbers that `code` can stand for under a BF16 or F32 scale, when the quotient is rounded to
// BF16 first.
bool encodes_to(float x, float scale, uint8_t code) {
  return f32_to_e4m3(round_to_bf16(x / scale)) == code;
}

struct Fp8Files {
  explicit Fp8Files(const std::filesystem::path& folder)
      : block(folder / "ct-fp8-block/model.safetensors"),
        channel(folder / "ct-mixed/model.safetensors"),
        tensor(folder / "mo-fp8/model.safetensors") {}

  GoldenFile block, channel, tensor;
};

float stored_scale(const EncodedMatrix& m, int64_t row, int64_t k) {
  const int64_t i = m.format == Format::kFp8Block     ? row / 128 * m.scales.columns + k / 128
                    : m.format == Format::kFp8Channel ? row
                                                      : 0;
  return m.scales.dtype == DType::kBF16 ? bf16_to_f32(load_u16(m.scales.bytes.data() + 2 * i))
                                        : load_f32(m.scales.bytes.data() + 4 * i);
}

uint8_t fp8_code(const EncodedMatrix& m, int64_t row, int64_t k) {
  return static_cast<uint8_t>(m.codes.bytes[static_cast<size_t>(row * m.columns + k)]);
}

// Candidates for one weight: every BF16 number that has the codes of the given FP8 matrices. For a
// code of 0 everything near zero qualifies; one number with its sign stands for them.
std::vector<float> candidates(const std::vector<EncodedMatrix>& matrices, int64_t row, int64_t k) {
  const EncodedMatrix& first = matrices[0];
  const uint8_t code = fp8_code(first, row, k), magnitude = code & 0x7F;
  const float scale = stored_scale(first, row, k);
  if (magnitude == 0) return {(code & 0x80 ? -0x1p-12f : 0x1p-12f) * scale};
  const float low = kE4m3Values[magnitude - 1] * scale,
              high = kE4m3Values[std::min(magnitude + 1, 0x7E)] * scale * 1.1f;
  std::vector<float> found;
  for (uint16_t bits = f32_to_bf16(low); bits <= f32_to_bf16(high); ++bits) {
    const float x = code & 0x80 ? -bf16_to_f32(bits) : bf16_to_f32(bits);
    const auto fits = [&](const EncodedMatrix& m) {
      return encodes_to(x, stored_scale(m, row, k), fp8_code(m, row, k));
    };
    if (std::all_of(matrices.begin(), matrices.end(), fits)) found.push_back(x);
  }
  return found;
}

// The codes of a row, whatever the format.
std::vector<uint8_t> row_codes(const EncodedMatrix& m, int64_t row) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(m.codes.bytes.data());
  std::vector<uint8_t> codes(static_cast<size_t>(m.columns));
  if (m.codes.dtype == DType::kI32) {
    unpack_integer_row(bytes + row * 4 * m.codes.columns, m.columns, m.bits,
                       reinterpret_cast<int8_t*>(codes.data()));
    return codes;
  }
  for (size_t k = 0; k < codes.size(); ++k) {
    const auto at = static_cast<size_t>(row * m.columns) + k;
    codes[k] = m.codes.dtype == DType::kU8 ? (bytes[at / 2] >> (4 * (k % 2))) & 15 : bytes[at];
  }
  return codes;
}

bool same_group(const EncodedMatrix& golden, int64_t row, const EncodedMatrix& ours,
                int64_t group) {
  const auto width = static_cast<size_t>(dtype_info(golden.scales.dtype).block_bytes);
  const int64_t groups = golden.columns / golden.block_columns;
  const bool single = golden.scales.rows == 1 && golden.rows != 1;
  const auto theirs_at = static_cast<size_t>(single ? 0 : row * groups + group),
             ours_at = static_cast<size_t>(group);
  const auto theirs = golden.scales.bytes.subspan(theirs_at * width, width);
  const auto mine = ours.scales.bytes.subspan(ours_at * width, width);
  if (!std::equal(theirs.begin(), theirs.end(), mine.begin())) return false;
  return golden.zero_points.empty() ||
         integer_zero_point(golden, row, group) == integer_zero_point(ours, 0, group);
}

using EncodeRow =
    std::function<Result<OwnedMatrix>(const WeightSource&, const EncodedMatrix& golden)>;

// Picks among the candidates until the row's bytes are the golden ones. Where a group's scale is
// wrong its large weights are drawn again, elsewhere the weights whose codes are wrong.
bool row_has_a_source(const std::vector<std::vector<float>>& choices, const EncodedMatrix& golden,
                      int64_t row, const EncodeRow& encode, std::mt19937& random) {
  std::vector<float> x;
  for (const auto& choice : choices) x.push_back(choice[choice.size() / 2]);
  const auto draw = [&](size_t k) { x[k] = choices[k][random() % choices[k].size()]; };
  const int64_t width = golden.block_columns;
  const std::vector<uint8_t> expected = row_codes(golden, row);
  for (int attempt = 0; attempt < 3000; ++attempt) {
    const auto ours = encode({"row", x, 1, golden.columns, SourceType::kBf16}, golden);
    if (!ours.ok()) return false;
    const std::vector<uint8_t> codes = row_codes(ours->matrix, 0);
    bool equal = true;
    std::vector<float> before = x;
    for (int64_t group = 0; group < golden.columns / width; ++group) {
      const bool scale_right = same_group(golden, row, ours->matrix, group);
      const auto begin = static_cast<size_t>(group * width),
                 end = begin + static_cast<size_t>(width);
      const float amax = amax_of(std::span(before).subspan(begin, end - begin));
      for (size_t k = begin; k < end; ++k) {
        const bool code_right = codes[k] == expected[k];
        equal = equal && scale_right && code_right;
        const bool large = std::fabs(before[k]) > 0.85f * amax;
        // Asymmetric ranges depend on the largest weight of either sign, so all may be drawn again
        // now and then.
        if (scale_right ? !code_right : large || random() % 16 == 0) draw(k);
      }
    }
    if (equal) return true;
  }
  return false;
}

struct Scheme {
  const char* folder;
  int bits;
  bool target_is_fp8;  // then it is no witness for the candidates itself
  EncodeRow encode;
};

Nvfp4Options nvfp4_like(const EncodedMatrix& golden, bool four_over_six = false) {
  const bool divides = golden.tensor_scale.use == TensorScale::Use::kDivide;
  return {.format = golden.format,
          .rule = divides ? Nvfp4Rule::kCompressedTensors : Nvfp4Rule::kModelOpt,
          .group = golden.block_columns,
          .four_over_six = four_over_six,
          .amax = std::nullopt,
          .tensor_scale = golden.tensor_scale};
}

Result<OwnedMatrix> as_nvfp4(const WeightSource& source, const EncodedMatrix& golden) {
  return encode_nvfp4(source, nvfp4_like(golden));
}

std::vector<Scheme> schemes() {
  return {
      {"mo-fp8", 8, true,
       [](const WeightSource& s, const EncodedMatrix& golden) {
         // amax / 448 has to give the stored scale again: find the BF16 number for which it does.
         const float amax = round_to_bf16(load_f32(golden.scales.bytes.data()) * 448.0f);
         return encode_fp8(
             s, {.format = Format::kFp8Tensor, .rule = Fp8Rule::kModelOpt, .amax = amax});
       }},
      {"ct-w4afp8", 4, false,
       [](const WeightSource& s, const EncodedMatrix&) {
         return encode_integer(s, {.format = Format::kInt4A8});
       }},
      {"ct-w4a16-asym", 4, false,
       [](const WeightSource& s, const EncodedMatrix&) {
         return encode_integer(s, {.symmetric = false, .packed = true});
       }},
      {"ct-mxfp4", 4, false,
       [](const WeightSource& s, const EncodedMatrix&) {
         return encode_mx(s, Format::kMxfp4, MxRule::kCompressedTensors);
       }},
      {"ct-nvfp4a16", 4, false, as_nvfp4},
      {"ct-nvfp4-fp8act", 4, false, as_nvfp4},
      {"ct20-nvfp4a16", 4, false, as_nvfp4},
      {"mo-w4a16", 4, false, as_nvfp4},
      {"mo-w4a8", 4, false, as_nvfp4},
      {"mo-nvfp4-4o6", 4, false,
       [](const WeightSource& s, const EncodedMatrix& golden) {
         return encode_nvfp4(s, nvfp4_like(golden, true));
       }},
  };
}

// Candidates of all weights of a module. Of the 128 BF16 numbers in a binade about ten remain; the
// test would say little if they were many.
std::vector<std::vector<std::vector<float>>> all_candidates(
    const std::vector<EncodedMatrix>& witnesses) {
  std::vector<std::vector<std::vector<float>>> rows;
  int64_t weights = 0, found = 0;
  for (int64_t row = 0; row < witnesses[0].rows; ++row) {
    rows.emplace_back();
    for (int64_t k = 0; k < witnesses[0].columns; ++k) {
      rows.back().push_back(candidates(witnesses, row, k));
      EXPECT_FALSE(rows.back().back().empty()) << row << " " << k;
      if (fp8_code(witnesses[0], row, k) % 128 < 16) continue;  // subnormal or nearly
      ++weights;
      found += static_cast<int64_t>(rows.back().back().size());
    }
  }
  EXPECT_LT(found, 12 * weights);
  return rows;
}

TEST(EncodeGolden, EveryFileHasASourceThatTheFp8FilesAllow) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/formats");
  const Fp8Files files(folder);
  std::mt19937 random(1);
  for (const char* module : kModules) {
    std::vector<EncodedMatrix> witnesses = {safetensors_matrix(files.channel, module),
                                            safetensors_matrix(files.block, module)};
    const auto without_target = all_candidates(witnesses);
    witnesses.push_back(safetensors_matrix(files.tensor, module));
    const auto all = all_candidates(witnesses);
    for (const Scheme& scheme : schemes()) {
      const GoldenFile file(folder / scheme.folder / "model.safetensors");
      const EncodedMatrix golden = safetensors_matrix(file, module, scheme.bits);
      const auto& choices = scheme.target_is_fp8 ? without_target : all;
      int64_t failed = 0;
      for (int64_t row = 0; row < golden.rows; ++row) {
        failed += !row_has_a_source(choices[static_cast<size_t>(row)], golden, row, scheme.encode,
                                    random);
      }
      EXPECT_EQ(failed, 0) << scheme.folder << " " << module << ": rows without a source, of "
                           << golden.rows;
    }
  }
}

}  // namespace
}  // namespace sluice::codec::test
