// Our blocks against those of ggml's own quantizer, byte for byte.
#include "codec/ggml_encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "codec/bytes.h"
#include "codec/golden_file.h"
#include "codec/golden_matrix.h"
#include "codec/worked_examples.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/zstd_file.h"

namespace sluice::codec::test {
namespace {

using testing::ElementsAreArray;

std::vector<uint8_t> encode(DType type, std::span<const float> row,
                            std::span<const float> importance = {}) {
  std::vector<uint8_t> out(dtype_bytes(type, row.size()).value());
  encode_ggml_row(type, row, importance, reinterpret_cast<std::byte*>(out.data()));
  return out;
}

// formats-gguf.md section 8.
TEST(GgmlEncode, WorkedBlocks) {
  const auto row = ggml_row(), importance = ggml_importance();
  EXPECT_THAT(encode(DType::kQ4_K, row), ElementsAreArray(ggml_row_q4_k()));
  EXPECT_THAT(encode(DType::kQ4_K, row, importance), ElementsAreArray(ggml_row_q4_k_importance()));
  EXPECT_THAT(encode(DType::kQ5_K, row), ElementsAreArray(ggml_row_q5_k()));
  EXPECT_THAT(encode(DType::kQ6_K, row), ElementsAreArray(ggml_row_q6_k()));
  const auto q6 = encode(DType::kQ6_K, row, importance);
  EXPECT_THAT(std::vector<uint8_t>(q6.begin() + 192, q6.end()),
              ElementsAreArray(hex("f1 f0 e1 20 d2 2f c1 3e b0 50 a4 5f 92 6b 80 85 3d 8a")));
  const std::span<const float> all(row);
  EXPECT_THAT(encode(DType::kQ8_0, all.first(32)), ElementsAreArray(ggml_row_q8_0_first()));
  EXPECT_THAT(encode(DType::kGgmlMXFP4, all.first(32)), ElementsAreArray(ggml_row_mxfp4_first()));
  EXPECT_THAT(encode(DType::kGgmlNVFP4, all.first(64)), ElementsAreArray(ggml_row_nvfp4_first()));
}

// quantization-algorithms.md section 4: ties go to the smaller magnitude.
TEST(GgmlEncode, Mxfp4Ties) {
  std::vector<float> row;
  for (int i = 0; i < 32; ++i) row.push_back(static_cast<float>((7 * i + 3) % 32 - 16) / 8);
  EXPECT_THAT(encode(DType::kGgmlMXFP4, row),
              ElementsAreArray(hex("7e 1d 4b e0 c4 06 3c 59 d2 a5 1d 4b e0 c3 95 2d 5a")));
}

// formats-gguf.md 4.8, last lines: single-level scales of the row of formats-safetensors.md
// section 7.
TEST(GgmlEncode, Nvfp4OfSmallWeights) {
  EXPECT_THAT(encode(DType::kGgmlNVFP4, nvfp4_row()),
              ElementsAreArray(hex("20 15 00 00 17 0f 06 1e a5 44 d3 12  67 df 32 01 ad 76 c9 54"
                                   "00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00")));
}

// quantization-algorithms.md section 5: halves up, 248 and more to 448, subnormals at most 7.
TEST(GgmlEncode, Nvfp4ScaleRounding) {
  const auto scale_of = [](float amax_over_6) {
    std::vector<float> row(64);
    row[0] = amax_over_6 * 6;
    return encode(DType::kGgmlNVFP4, row)[0];
  };
  EXPECT_EQ(scale_of(1.0625f), 0x39);
  EXPECT_EQ(scale_of(300.0f), 0x7E);
  EXPECT_EQ(scale_of(248.0f), 0x7E);
  EXPECT_EQ(scale_of(247.0f), 0x77);
  EXPECT_EQ(scale_of(7.75f * 0x1p-9f), 7);
  EXPECT_EQ(scale_of(0.5f * 0x1p-9f), 1);
  EXPECT_EQ(scale_of(0.49f * 0x1p-9f), 0);
  EXPECT_EQ(scale_of(0x1p-6f), 8);
}

std::vector<float> floats_of(const GoldenTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.rows() * tensor.columns()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = tensor.dtype == DType::kF32 ? load_f32(tensor.bytes.data() + 4 * i)
                                            : bf16_to_f32(load_u16(tensor.bytes.data() + 2 * i));
  }
  return values;
}

std::vector<uint8_t> encode_rows(DType type, std::span<const float> values, int64_t columns,
                                 std::span<const float> importance) {
  std::vector<uint8_t> bytes;
  const auto width = static_cast<size_t>(columns);
  for (size_t at = 0; at < values.size(); at += width) {
    const auto row = encode(type, values.subspan(at, width), importance);
    bytes.insert(bytes.end(), row.begin(), row.end());
  }
  return bytes;
}

// Rows with outliers, zeros, one sign and ties, in every type, with and without importance.
TEST(GgmlEncode, EveryTypeOfTheGoldenRows) {
  SLUICE_REQUIRE_SHARED(path, "goldens/gguf/types.gguf.zst");
  const GoldenFile file(path);
  const auto source = floats_of(file.at("source")), importance = floats_of(file.at("importance"));
  int checked = 0;
  for (const GoldenTensor& tensor : file.tensors()) {
    if (dtype_info(tensor.dtype).block_elements == 1) continue;
    const bool weighted = tensor.name.ends_with(".imatrix");
    const auto bytes =
        encode_rows(tensor.dtype, source, 1024, weighted ? importance : std::vector<float>{});
    ASSERT_EQ(bytes.size(), tensor.bytes.size());
    const auto block = static_cast<size_t>(dtype_info(tensor.dtype).block_bytes);
    size_t wrong = 0;
    for (size_t at = 0; at < bytes.size(); at += block) {
      wrong += std::memcmp(bytes.data() + at, tensor.bytes.data() + at, block) != 0;
    }
    EXPECT_EQ(wrong, 0u) << tensor.name << ": of " << bytes.size() / block << " blocks";
    ++checked;
  }
  EXPECT_EQ(checked, 14 + 11);  // Q8_0, MXFP4 and NVFP4 ignore importance
}

// Importance of a weight's columns from llama-imatrix's own file: empty if it has no entry.
std::vector<float> importance_of(const GoldenFile& imatrix, const std::string& weight) {
  const GoldenTensor* sums = imatrix.find(weight + ".in_sum2");
  if (sums == nullptr) return {};
  auto values = floats_of(*sums);
  const float count = load_f32(imatrix.at(weight + ".counts").bytes.data());
  for (float& value : values) value /= count;
  return values;
}

class QuantizedModels : public testing::TestWithParam<const char*> {};

// tensors.json holds hashes of every tensor that llama-quantize wrote for r3. A sample of each
// file's tensors, another one for each file: all of them would take a minute.
TEST_P(QuantizedModels, SampledTensorsHaveTheHashOfLlamaQuantize) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/gguf");
  const std::string name = GetParam();
  const auto table = parse_json(sluice::test::read_zstd(folder / "tensors.json.zst"));
  ASSERT_TRUE(table.ok());
  const Json* goldens = table->find(name);
  ASSERT_NE(goldens, nullptr);
  static const GoldenFile source(folder / "r3-bf16.gguf.zst");
  static const GoldenFile imatrix(folder / "r3-imatrix.gguf");
  size_t index = std::accumulate(name.begin(), name.end(), size_t{0}), checked = 0;
  for (const auto& [tensor_name, golden] : goldens->members()) {
    const GoldenTensor& tensor = source.at(tensor_name);
    if (tensor.dtype != DType::kBF16 || ++index % 8 != 0) continue;
    std::optional<DType> type;
    for (int i = static_cast<int>(DType::kQ4_0); i <= static_cast<int>(DType::kGgmlNVFP4); ++i) {
      if (dtype_name(static_cast<DType>(i)) == golden.items()[0].string())
        type = static_cast<DType>(i);
    }
    ASSERT_TRUE(type.has_value()) << golden.items()[0].string();
    const auto importance =
        name.ends_with("-imat") ? importance_of(imatrix, tensor_name) : std::vector<float>{};
    const auto bytes = encode_rows(*type, floats_of(tensor), tensor.columns(), importance);
    EXPECT_TRUE(sluice::test::sha256_hex(std::as_bytes(std::span(bytes)))
                    .starts_with(golden.items()[1].string()))
        << tensor_name << " as " << dtype_name(*type);
    ++checked;
  }
  EXPECT_GE(checked, 8u);
}

INSTANTIATE_TEST_SUITE_P(Files, QuantizedModels,
                         testing::Values("r3-IQ4_NL", "r3-IQ4_XS", "r3-IQ4_XS-imat", "r3-MXFP4",
                                         "r3-NVFP4", "r3-Q2_K", "r3-Q3_K_M", "r3-Q3_K_M-imat",
                                         "r3-Q4_0", "r3-Q4_0-imat", "r3-Q4_1", "r3-Q4_K_M",
                                         "r3-Q4_K_M-imat", "r3-Q5_0", "r3-Q5_1", "r3-Q5_K_M",
                                         "r3-Q5_K_M-imat", "r3-Q6_K", "r3-Q6_K-imat", "r3-Q8_0"),
                         [](const auto& test_info) {
                           std::string name = test_info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace sluice::codec::test
