// Every matrix that the formats' own tools wrote decodes to the values that their own decoders
// give, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "codec/golden_file.h"
#include "codec/golden_matrix.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/zstd_file.h"

namespace sluice::codec::test {
namespace {

Json read_json(const std::filesystem::path& path) {
  auto text = read_file(path, 1 << 24);
  if (!text.ok()) throw std::runtime_error(text.error().message());
  auto json = parse_json(*text);
  if (!json.ok()) throw std::runtime_error(json.error().message());
  return *std::move(json);
}

// What the config says of integer codes, which storage alone does not tell.
int integer_bits(const Json& config) {
  const Json* node = config.find("quantization_config");
  for (const char* key : {"config_groups", "group_0", "weights", "num_bits"}) {
    if (node != nullptr) node = node->find(key);
  }
  return node == nullptr ? 8 : static_cast<int>(*node->as_int64());
}

class SafetensorsGoldens : public testing::TestWithParam<const char*> {};

TEST_P(SafetensorsGoldens, DecodeToTheToolsOwnValues) {
  SLUICE_REQUIRE_SHARED(folder, std::filesystem::path("goldens/formats") / GetParam());
  std::vector<GoldenFile> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("model") && name.ends_with(".safetensors"))
      files.emplace_back(entry.path());
  }
  const int bits = integer_bits(read_json(folder / "config.json"));
  const Json goldens = read_json(folder / "dequantized.json");
  const GoldenFile full(folder / "dequantized.safetensors");
  int matrices = 0;
  for (const auto& [name, golden] : goldens.find("tensors")->members()) {
    const std::string module = name.substr(0, name.size() - std::string(".weight").size());
    const GoldenFile* file = nullptr;
    for (const GoldenFile& f : files) {
      if (f.find(module + ".weight") != nullptr || f.find(module + ".weight_packed") != nullptr)
        file = &f;
    }
    ASSERT_NE(file, nullptr) << name;
    const EncodedMatrix matrix = safetensors_matrix(*file, module, bits);
    EXPECT_EQ(golden.find("shape")->items()[0].as_int64(), matrix.rows);
    EXPECT_EQ(golden.find("shape")->items()[1].as_int64(), matrix.columns);
    const std::vector<float> values = decode_all(matrix, name);
    EXPECT_EQ(hash_with_positive_zeros(values), golden.find("sha256")->string()) << name;
    if (const GoldenTensor* truth = full.find(name)) {
      ASSERT_EQ(truth->bytes.size(), values.size() * sizeof(float));
      for (size_t i = 0; i < values.size(); ++i) {
        float expected;
        std::memcpy(&expected, truth->bytes.data() + i * sizeof(float), sizeof expected);
        ASSERT_EQ(expected, values[i]) << name << " element " << i;
      }
    }
    ++matrices;
  }
  EXPECT_GE(matrices, 13);
}

INSTANTIATE_TEST_SUITE_P(Folders, SafetensorsGoldens,
                         testing::Values("ct-fp8-block", "ct-fp8-dynamic", "ct-mixed", "ct-mxfp4",
                                         "ct-nvfp4", "ct-nvfp4-fp8act", "ct-nvfp4a16",
                                         "ct-w4a16-asym", "ct-w4afp8", "ct20-nvfp4a16", "fp8-block",
                                         "fp8-block-edge", "mo-fp8", "mo-mixed", "mo-nvfp4",
                                         "mo-nvfp4-4o6", "mo-w4a16", "mo-w4a8"),
                         [](const auto& test_info) {
                           std::string name = test_info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class GgufGoldens : public testing::TestWithParam<const char*> {};

// tensors.json gives [type, hash of the bytes, hash of the decoded values], hashes cut to 16
// digits.
TEST_P(GgufGoldens, DecodeToTheHashedValues) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/gguf");
  const auto table = parse_json(sluice::test::read_zstd(folder / "tensors.json.zst"));
  ASSERT_TRUE(table.ok());
  const Json* goldens = table->find(GetParam());
  ASSERT_NE(goldens, nullptr);
  const GoldenFile file(folder / (std::string(GetParam()) + ".gguf.zst"));
  ASSERT_EQ(goldens->members().size(), file.tensors().size());
  for (const GoldenTensor& tensor : file.tensors()) {
    const auto& golden = goldens->find(tensor.name)->items();
    ASSERT_EQ(golden[0].string(), dtype_name(tensor.dtype));
    ASSERT_TRUE(sluice::test::sha256_hex(tensor.bytes).starts_with(golden[1].string()))
        << tensor.name;
    EncodedMatrix matrix = gguf_matrix(file, tensor);
    matrix.tensor_scale = {};  // the table hashes the blocks' own values
    EXPECT_EQ(hash_of(decode_all(matrix, tensor.name)).substr(0, 16), golden[2].string())
        << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GgufGoldens,
                         testing::Values("r3-bf16", "r3-Q4_K_M", "r2-Q8_0", "r2-Q4_0", "r2-IQ4_XS",
                                         "r2nv"),
                         [](const auto& test_info) {
                           std::string name = test_info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Six rows in every block type, with and without importance.
TEST(GgufTypes, DecodeToTheHashedValues) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/gguf");
  const GoldenFile file(folder / "types.gguf.zst");
  const Json goldens = read_json(folder / "types.json");
  int types = 0;
  for (const GoldenTensor& tensor : file.tensors()) {
    const Json* golden = goldens.find(tensor.name);
    if (golden == nullptr) continue;
    const std::vector<float> values = decode_all(gguf_matrix(file, tensor), tensor.name);
    EXPECT_EQ(hash_of(values), golden->find("sha256_decoded")->string()) << tensor.name;
    if (const GoldenTensor* truth = file.find(tensor.name + ".decoded")) {
      ASSERT_EQ(truth->bytes.size(), values.size() * sizeof(float));
      EXPECT_EQ(std::memcmp(truth->bytes.data(), values.data(), truth->bytes.size()), 0)
          << tensor.name;
    }
    ++types;
  }
  EXPECT_EQ(types, 25);
}

}  // namespace
}  // namespace sluice::codec::test
