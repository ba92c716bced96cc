// Every container of ../shared/goldens opens, and what is in it is what the makers say.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/zstd_file.h"

namespace sluice::checkpoint {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_below(const fs::path& folder, std::string_view ending) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().string().ends_with(ending)) found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found;
}

TEST(Goldens, EverySafetensorsFileOpens) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens");
  const std::vector<fs::path> files = files_below(goldens, ".safetensors");
  EXPECT_GT(files.size(), 50u);
  for (const fs::path& file : files) {
    const Result<Checkpoint> checkpoint = Checkpoint::open(file);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
    EXPECT_GT(checkpoint->tensors().size(), 0u) << file;
    EXPECT_EQ(checkpoint->folder(), file.parent_path());
  }
}

TEST(Goldens, EveryCompressedContainerOpens) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens");
  test::TemporaryFolder folder;
  int opened = 0;
  for (const fs::path& packed : files_below(goldens, ".zst")) {
    const std::string inner = packed.stem().extension().string();
    if (inner != ".gguf" && inner != ".safetensors") continue;
    const fs::path file = test::unpack_zstd(packed, folder.path());
    const Result<Checkpoint> checkpoint = Checkpoint::open(file, Purpose::kAnyFile);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
    EXPECT_GT(checkpoint->tensors().size(), 0u) << file;
    if (file.filename() == "types.gguf") {
      EXPECT_THAT(checkpoint->notes(), testing::Contains(testing::HasSubstr("IQ2_XXS")));
      EXPECT_FALSE(Checkpoint::open(file).ok());
    } else {
      EXPECT_THAT(checkpoint->notes(), testing::IsEmpty()) << file;
    }
    EXPECT_EQ(checkpoint->gguf() != nullptr, inner == ".gguf");
    fs::remove(file);
    ++opened;
  }
  EXPECT_GE(opened, 9);
}

TEST(Goldens, EveryFolderWithAConfigOpensWithItsConfig) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens");
  int opened = 0;
  for (const fs::path& config : files_below(goldens, "/config.json")) {
    if (!fs::exists(config.parent_path() / "model.safetensors")) continue;
    const Result<Checkpoint> checkpoint = Checkpoint::open(config.parent_path());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
    const auto json = checkpoint->side_json("config.json");
    ASSERT_TRUE(json.ok()) << json.error().message();
    EXPECT_NE((*json)->find("model_type"), nullptr) << config;
    ++opened;
  }
  EXPECT_GT(opened, 15);
}

// llm-compressor 0.14 writes the backbone as model.safetensors, the draft head beside it and an
// index over both.
TEST(Goldens, IndexWinsOverLoneFileSoThatTheDraftHeadIsFound) {
  for (const char* name : {"ct-fp8-dynamic", "ct-nvfp4"}) {
    SLUICE_REQUIRE_SHARED(folder, fs::path("goldens/formats") / name);
    const Result<Checkpoint> whole = Checkpoint::open(folder);
    ASSERT_TRUE(whole.ok()) << whole.error().message();
    EXPECT_EQ(whole->files().size(), 2u);
    EXPECT_NE(whole->find("mtp.fc.weight"), nullptr);

    const Result<Checkpoint> alone = Checkpoint::open(folder / "model.safetensors");
    ASSERT_TRUE(alone.ok()) << alone.error().message();
    EXPECT_EQ(alone->find("mtp.fc.weight"), nullptr);
    ASSERT_EQ(alone->notes().size(), 1u);
    EXPECT_THAT(alone->notes()[0], testing::HasSubstr("read alone"));

    const Result<Checkpoint> by_index = Checkpoint::open(folder / "model.safetensors.index.json");
    ASSERT_TRUE(by_index.ok()) << by_index.error().message();
    EXPECT_EQ(by_index->tensors().size(), whole->tensors().size());
  }
}

TEST(Goldens, GgufMetadataAndShapes) {
  SLUICE_REQUIRE_SHARED(packed, "goldens/gguf/r3-Q4_K_M.gguf.zst");
  test::TemporaryFolder folder;
  const Result<Checkpoint> checkpoint = Checkpoint::open(test::unpack_zstd(packed, folder.path()));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
  const GgufMetadata& metadata = *checkpoint->gguf();
  EXPECT_EQ(*metadata.string("general.architecture"), "qwen35");
  EXPECT_EQ(*metadata.unsigned_integer("qwen35.block_count"), 9u);
  EXPECT_EQ(*metadata.unsigned_integer("qwen35.nextn_predict_layers"), 1u);
  EXPECT_EQ(*metadata.real("qwen35.attention.layer_norm_rms_epsilon"), static_cast<double>(1e-6f));
  EXPECT_EQ((**metadata.strings("tokenizer.ggml.tokens")).size(), 512u);
  EXPECT_THAT(**metadata.integers("qwen35.attention.recurrent_layers"),
              testing::ElementsAre(1, 1, 1, 0, 1, 1, 1, 0, 0));
  const StoredTensor* embedding = checkpoint->find("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->dtype, DType::kQ4_K);
  EXPECT_THAT(embedding->shape, testing::ElementsAre(512, 256));
  EXPECT_EQ(embedding->bytes.size(), 512u * 144);
}

// tensors.json lists type and the first 16 hex digits of the sha256 of every tensor's bytes.
TEST(Goldens, GgufTensorBytesHaveTheListedHashes) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/gguf");
  const Result<Json> listed = parse_json(test::read_zstd(folder / "tensors.json.zst"));
  ASSERT_TRUE(listed.ok()) << listed.error().message();
  test::TemporaryFolder temporary;
  for (const char* name : {"r3-bf16", "r3-Q4_K_M", "r2-Q8_0", "r2-IQ4_XS", "r2nv"}) {
    const fs::path file =
        test::unpack_zstd(folder / fmt::format("{}.gguf.zst", name), temporary.path());
    const Result<Checkpoint> checkpoint = Checkpoint::open(file);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
    const Json* tensors = listed->find(name);
    ASSERT_NE(tensors, nullptr) << name;
    EXPECT_EQ(tensors->members().size(), checkpoint->tensors().size());
    for (const auto& [tensor, facts] : tensors->members()) {
      const StoredTensor* stored = checkpoint->find(tensor);
      ASSERT_NE(stored, nullptr) << tensor;
      EXPECT_EQ(dtype_name(stored->dtype), facts.items()[0].string()) << tensor;
      EXPECT_EQ(test::sha256_hex(stored->bytes).substr(0, 16), facts.items()[1].string()) << tensor;
    }
  }
}

// Reads every byte that a parse of `bytes` hands out; false if it was refused.
bool readable(const std::string& bytes, bool gguf) {
  const std::span<const std::byte> view = std::as_bytes(std::span(bytes.data(), bytes.size()));
  std::vector<StoredTensor> tensors;
  if (gguf) {
    Result<GgufFile> file = parse_gguf(view, "damaged.gguf");
    if (!file.ok()) return false;
    tensors = std::move(file->tensors);
  } else {
    Result<SafetensorsFile> file = parse_safetensors(view, "damaged.safetensors");
    if (!file.ok()) return false;
    tensors = std::move(file->tensors);
  }
  for (const StoredTensor& tensor : tensors) {
    EXPECT_GE(tensor.bytes.data(), view.data());
    EXPECT_LE(tensor.bytes.data() + tensor.bytes.size(), view.data() + view.size());
  }
  return true;
}

// Truncation is always refused; a flipped bit in the header is refused or harmless.
TEST(Goldens, DamagedCopies) {
  for (const char* relative :
       {"goldens/formats/ct-nvfp4/model_mtp.safetensors", "goldens/gguf/r2-imatrix.gguf"}) {
    SLUICE_REQUIRE_SHARED(file, relative);
    const Result<std::string> whole = read_file(file, 64u << 20);
    ASSERT_TRUE(whole.ok());
    const bool gguf = file.extension() == ".gguf";
    ASSERT_TRUE(readable(*whole, gguf));
    // Every 97th byte through the header, then coarser multiples of it.
    for (size_t size = 0; size + 32 < whole->size(); size += size < 20'000 ? 97 : 9'700) {
      EXPECT_FALSE(readable(whole->substr(0, size), gguf)) << size;
    }
    std::mt19937 random(7);
    int refused = 0;
    for (int i = 0; i < 400; ++i) {
      std::string flipped = *whole;
      flipped[random() % 4'000] ^= static_cast<char>(1 << (random() % 8));
      refused += readable(flipped, gguf) ? 0 : 1;
    }
    EXPECT_GT(refused, 50);
  }
}

TEST(Goldens, ImportanceMatrixIsExplainedAsModel) {
  SLUICE_REQUIRE_SHARED(file, "goldens/gguf/r3-imatrix.gguf");
  const Result<Checkpoint> as_model = Checkpoint::open(file);
  ASSERT_FALSE(as_model.ok());
  EXPECT_THAT(as_model.error().message(), testing::HasSubstr("importance matrix"));
  const Result<Checkpoint> as_file = Checkpoint::open(file, Purpose::kAnyFile);
  ASSERT_TRUE(as_file.ok()) << as_file.error().message();
  EXPECT_EQ(as_file->tensors().size(), 2u * 62);
}

}  // namespace
}  // namespace sluice::checkpoint
