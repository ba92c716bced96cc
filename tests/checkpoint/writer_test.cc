// Both writers against the worked examples, the readers, and what is on disk before finish().
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "checkpoint/checkpoint.h"
#include "checkpoint/forge.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_writer.h"
#include "support/paths.h"
#include "support/zstd_file.h"

namespace sluice::checkpoint {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class WriterTest : public testing::Test {
 protected:
  const fs::path& folder() const { return folder_.path(); }
  std::vector<std::string> listing() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder()))
      names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }

 private:
  test::TemporaryFolder folder_;
};

TEST_F(WriterTest, SafetensorsWorkedExample) {
  SafetensorsOptions options;
  options.metadata = {};
  auto writer = SafetensorsWriter::create_file(
      folder() / "x.safetensors", {{"w", DType::kF8E4M3, {2, 3}}, {"s", DType::kBF16, {1, 1}}},
      options);
  ASSERT_TRUE(writer.ok()) << writer.error().message();
  EXPECT_EQ(writer->plan()[0].name, "s");
  ASSERT_TRUE(writer->append("s", as_bytes(from_hex("80 3c"))).ok());
  ASSERT_TRUE(writer->append("w", as_bytes(from_hex("38 b0 28"))).ok());
  ASSERT_TRUE(writer->append("w", as_bytes(from_hex("7e 01 80"))).ok());
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_EQ(get_file(folder() / "x.safetensors"), from_hex(R"(
    78 00 00 00 00 00 00 00 7b 22 73 22 3a 7b 22 64 74 79 70 65 22 3a 22 42 46 31 36 22 2c 22 73 68
    61 70 65 22 3a 5b 31 2c 31 5d 2c 22 64 61 74 61 5f 6f 66 66 73 65 74 73 22 3a 5b 30 2c 32 5d 7d
    2c 22 77 22 3a 7b 22 64 74 79 70 65 22 3a 22 46 38 5f 45 34 4d 33 22 2c 22 73 68 61 70 65 22 3a
    5b 32 2c 33 5d 2c 22 64 61 74 61 5f 6f 66 66 73 65 74 73 22 3a 5b 32 2c 38 5d 7d 7d 20 20 20 20
    80 3c 38 b0 28 7e 01 80)"));
}

TEST_F(WriterTest, GgufWorkedExample) {
  GgufMetadata metadata;
  metadata.add("general.architecture", GgufValue(std::string("qwen35")));
  metadata.add("general.alignment", GgufValue(uint64_t{32}));
  metadata.add("a", GgufValue(GgufArray(std::vector<int64_t>{11, -1})));
  auto writer = GgufWriter::create(folder() / "x.gguf", metadata,
                                   {{"w", DType::kQ8_0, {1, 32}}, {"b", DType::kF32, {2}}});
  ASSERT_TRUE(writer.ok()) << writer.error().message();
  std::string block = from_hex("00 38");
  for (int i = 0; i < 32; ++i) block += static_cast<char>(i);
  ASSERT_TRUE(writer->append("w", as_bytes(block)).ok());
  ASSERT_TRUE(writer->append("b", as_bytes(raw(1.0f) + raw(-2.0f))).ok());
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_EQ(get_file(folder() / "x.gguf"), from_hex(R"(
    47 47 55 46 03 00 00 00 02 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 14 00 00 00 00 00 00 00
    67 65 6e 65 72 61 6c 2e 61 72 63 68 69 74 65 63 74 75 72 65 08 00 00 00 06 00 00 00 00 00 00 00
    71 77 65 6e 33 35 11 00 00 00 00 00 00 00 67 65 6e 65 72 61 6c 2e 61 6c 69 67 6e 6d 65 6e 74 04
    00 00 00 20 00 00 00 01 00 00 00 00 00 00 00 61 09 00 00 00 05 00 00 00 02 00 00 00 00 00 00 00
    0b 00 00 00 ff ff ff ff 01 00 00 00 00 00 00 00 77 02 00 00 00 20 00 00 00 00 00 00 00 01 00 00
    00 00 00 00 00 08 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 62 01 00 00 00 02 00
    00 00 00 00 00 00 00 00 00 00 40 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 38 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d
    1e 1f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 00 80 3f 00 00 00 c0 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00)"));
}

// A random set of tensors with random bytes; dtypes and ranks as the container allows.
struct RandomTensors {
  std::vector<TensorSpec> specs;
  std::map<std::string, std::string> bytes;

  RandomTensors(uint32_t seed, bool gguf) {
    std::mt19937 random(seed);
    const auto pick = [&](uint32_t below) { return static_cast<int64_t>(random() % below); };
    for (int64_t i = pick(30); i > 0; --i) {
      TensorSpec spec;
      spec.name = fmt::format("{}{}.\u00e4\"{}", pick(5), gguf ? "" : "\\", i);
      do {
        spec.dtype = static_cast<DType>(pick(static_cast<uint32_t>(DType::kGgmlNVFP4) + 1));
      } while (gguf ? !ggml_of_dtype(spec.dtype) : spec.dtype > DType::kC64);
      for (int64_t rank = gguf ? 1 + pick(4) : pick(5); rank > 0; --rank)
        spec.shape.push_back(pick(4) + (gguf ? 1 : 0));
      const int width = dtype_info(spec.dtype).block_elements;
      if (width > 1 && spec.shape.empty()) spec.shape.push_back(1);
      if (width > 1) spec.shape.back() *= width;
      uint64_t elements = 1;
      for (const int64_t extent : spec.shape) elements *= static_cast<uint64_t>(extent);
      std::string content(*dtype_bytes(spec.dtype, elements), '\0');
      for (char& c : content) c = static_cast<char>(random());
      bytes.emplace(spec.name, std::move(content));
      specs.push_back(std::move(spec));
    }
  }
};

void expect_same(const Checkpoint& checkpoint, const RandomTensors& expected) {
  ASSERT_EQ(checkpoint.tensors().size(), expected.specs.size());
  for (const TensorSpec& spec : expected.specs) {
    const StoredTensor* tensor = checkpoint.find(spec.name);
    ASSERT_NE(tensor, nullptr) << spec.name;
    EXPECT_EQ(tensor->dtype, spec.dtype);
    EXPECT_EQ(tensor->shape, spec.shape);
    const std::string& bytes = expected.bytes.at(spec.name);
    ASSERT_EQ(tensor->bytes.size(), bytes.size());
    EXPECT_TRUE(std::ranges::equal(tensor->bytes, as_bytes(bytes))) << spec.name;
  }
}

TEST_F(WriterTest, SafetensorsRoundTrips) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const RandomTensors tensors(seed, false);
    const fs::path place = folder() / std::to_string(seed);
    fs::create_directory(place);
    SafetensorsOptions options;
    options.shard_limit = 1 + seed * 20;
    auto writer = SafetensorsWriter::create(place, tensors.specs, options);
    ASSERT_TRUE(writer.ok()) << writer.error().message();
    for (const TensorSpec& spec : std::vector(writer->plan())) {
      const auto bytes = as_bytes(tensors.bytes.at(spec.name));
      ASSERT_TRUE(writer->append(spec.name, bytes.first(bytes.size() / 2)).ok());
      if (!bytes.empty()) {
        ASSERT_TRUE(writer->append(spec.name, bytes.subspan(bytes.size() / 2)).ok());
      }
    }
    ASSERT_TRUE(writer->finish().ok());
    const auto checkpoint = Checkpoint::open(place);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
    EXPECT_THAT(checkpoint->notes(), IsEmpty());
    expect_same(*checkpoint, tensors);
    for (const StoredTensor& tensor : checkpoint->tensors()) {
      const DTypeInfo& info = dtype_info(tensor.dtype);
      if (info.block_elements == 1 && !tensor.bytes.empty()) {
        EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes.data()) %
                      static_cast<uintptr_t>(info.block_bytes),
                  0u);
      }
    }
  }
}

TEST_F(WriterTest, GgufRoundTrips) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const RandomTensors tensors(seed, true);
    GgufMetadata metadata;
    metadata.add("general.alignment", GgufValue(uint64_t{8} << (seed % 5)));
    metadata.add("u8", GgufValue(uint64_t{255}), GgufType::kU8);
    metadata.add("i16s", GgufValue(GgufArray(std::vector<int64_t>{-1, 300})), GgufType::kI16);
    metadata.add("f32", GgufValue(1.0 / 3));
    metadata.add("f64", GgufValue(1.0 / 3), GgufType::kF64);
    metadata.add("bools", GgufValue(GgufArray(std::vector<bool>{true, false})));
    metadata.add("strings", GgufValue(GgufArray(std::vector<std::string>{"a", ""})));
    metadata.add("large", GgufValue(uint64_t{1} << 40));
    metadata.add("negative", GgufValue(int64_t{-5}));
    metadata.add("flag", GgufValue(true));
    GgufOptions options;
    options.part_limit = seed % 2 == 0 ? 0 : 1 + seed * 100;
    auto writer = GgufWriter::create(folder() / fmt::format("m{}.gguf", seed), metadata,
                                     tensors.specs, options);
    ASSERT_TRUE(writer.ok()) << writer.error().message();
    for (const TensorSpec& spec : tensors.specs) {
      const auto bytes = as_bytes(tensors.bytes.at(spec.name));
      ASSERT_TRUE(writer->append(spec.name, bytes.first(1)).ok());
      if (bytes.size() > 1) {
        ASSERT_TRUE(writer->append(spec.name, bytes.subspan(1)).ok());
      }
    }
    ASSERT_TRUE(writer->finish().ok());
    const auto checkpoint = Checkpoint::open(writer->files()[0]);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
    EXPECT_EQ(checkpoint->files(), writer->files());
    EXPECT_THAT(checkpoint->notes(), IsEmpty());
    expect_same(*checkpoint, tensors);
    for (size_t i = 0; i < metadata.entries().size(); ++i) {
      const auto& [key, value] = metadata.entries()[i];
      ASSERT_NE(checkpoint->gguf()->find(key), nullptr) << key;
      EXPECT_EQ(checkpoint->gguf()->stored_type(i), metadata.stored_type(i)) << key;
      if (key != "f32") {
        EXPECT_EQ(*checkpoint->gguf()->find(key), value) << key;
      }
    }
    EXPECT_EQ(*checkpoint->gguf()->real("f32"), static_cast<double>(static_cast<float>(1.0 / 3)));
  }
}

// What a tool of llama.cpp wrote comes back byte for byte.
TEST_F(WriterTest, GgufGoldensAreReproduced) {
  for (const char* name : {"goldens/gguf/r3-Q4_K_M.gguf.zst", "goldens/gguf/r2nv.gguf.zst"}) {
    SLUICE_REQUIRE_SHARED(packed, name);
    const fs::path original = test::unpack_zstd(packed, folder());
    const auto checkpoint = Checkpoint::open(original);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
    std::vector<TensorSpec> specs;
    for (const StoredTensor& tensor : checkpoint->tensors())
      specs.push_back({tensor.name, tensor.dtype, tensor.shape});
    auto writer =
        GgufWriter::create(folder() / "again.gguf", *checkpoint->gguf(), specs, {0, true});
    ASSERT_TRUE(writer.ok()) << writer.error().message();
    for (const StoredTensor& tensor : checkpoint->tensors())
      ASSERT_TRUE(writer->append(tensor.name, tensor.bytes).ok());
    ASSERT_TRUE(writer->finish().ok());
    EXPECT_TRUE(get_file(folder() / "again.gguf") == get_file(original)) << name;
  }
}

TEST_F(WriterTest, SafetensorsGoldenIsReproduced) {
  SLUICE_REQUIRE_SHARED(original, "goldens/text-r3-untied-mtp/model.safetensors");
  const auto checkpoint = Checkpoint::open(original);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
  std::vector<TensorSpec> specs;
  for (const StoredTensor& tensor : checkpoint->tensors())
    specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  auto writer = SafetensorsWriter::create(folder(), specs);
  ASSERT_TRUE(writer.ok()) << writer.error().message();
  for (const TensorSpec& spec : std::vector(writer->plan())) {
    ASSERT_TRUE(writer->append(spec.name, checkpoint->find(spec.name)->bytes).ok());
  }
  ASSERT_TRUE(writer->finish().ok());
  EXPECT_TRUE(get_file(folder() / "model.safetensors") == get_file(original));
}

TEST_F(WriterTest, NothingAppearsBeforeFinish) {
  const std::vector<TensorSpec> specs = {{"a", DType::kU8, {4}}, {"b", DType::kU8, {4}}};
  SafetensorsOptions options;
  options.shard_limit = 4;
  {
    auto writer = SafetensorsWriter::create(folder(), specs, options);
    ASSERT_TRUE(writer.ok()) << writer.error().message();
    ASSERT_TRUE(writer->append("a", as_bytes("1234")).ok());
    ASSERT_TRUE(writer->append("b", as_bytes("12")).ok());
    for (const std::string& name : listing()) EXPECT_FALSE(name.ends_with(".safetensors")) << name;
    EXPECT_THROW(static_cast<void>(writer->finish()), ContractViolation);
    EXPECT_THROW(static_cast<void>(writer->append("b", as_bytes("123"))), ContractViolation);
    EXPECT_THROW(static_cast<void>(writer->append("a", as_bytes("1"))), ContractViolation);
  }
  EXPECT_THAT(listing(), IsEmpty());
  {
    auto writer = GgufWriter::create(folder() / "m.gguf", {},
                                     {{"a", DType::kI8, {4}}, {"b", DType::kI8, {4}}}, {4, false});
    ASSERT_TRUE(writer.ok()) << writer.error().message();
    ASSERT_TRUE(writer->append("a", as_bytes("1234")).ok());
    for (const std::string& name : listing()) EXPECT_FALSE(name.ends_with(".gguf")) << name;
  }
  EXPECT_THAT(listing(), IsEmpty());
}

TEST_F(WriterTest, ExistingFilesAreKeptUnlessAsked) {
  const auto write = [&](uint64_t limit, bool overwrite) -> Status {
    SafetensorsOptions options;
    options.shard_limit = limit;
    options.overwrite = overwrite;
    SLUICE_ASSIGN(SafetensorsWriter writer,
                  SafetensorsWriter::create(
                      folder(), {{"a", DType::kU8, {1}}, {"b", DType::kU8, {1}}}, options));
    SLUICE_TRY(writer.append("a", as_bytes("1")));
    SLUICE_TRY(writer.append("b", as_bytes("2")));
    return writer.finish();
  };
  ASSERT_TRUE(write(1, false).ok());
  EXPECT_THAT(listing(),
              ElementsAre("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                          "model.safetensors.index.json"));
  EXPECT_EQ(write(1, false).error().code, ErrorCode::kUsage);
  EXPECT_EQ(write(10, false).error().code, ErrorCode::kUsage);
  // One file instead of two: the old index must not win over it.
  ASSERT_TRUE(write(10, true).ok());
  const auto checkpoint = Checkpoint::open(folder());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
  EXPECT_EQ(checkpoint->files()[0].filename(), "model.safetensors");
}

TEST_F(WriterTest, WhatAContainerCannotHoldIsRefused) {
  const auto safetensors_refuses = [&](TensorSpec spec) {
    return !SafetensorsWriter::create(folder(), {std::move(spec)}).ok();
  };
  EXPECT_TRUE(safetensors_refuses({"a", DType::kQ4_K, {256}}));
  EXPECT_TRUE(safetensors_refuses({"a\n", DType::kU8, {1}}));
  EXPECT_TRUE(safetensors_refuses({"a", DType::kF4, {3}}));
  EXPECT_TRUE(safetensors_refuses({"a", DType::kU8, {-1}}));
  EXPECT_TRUE(safetensors_refuses({"a", DType::kU8, {1, 1, 1, 1, 1, 1, 1, 1, 1}}));
  EXPECT_TRUE(safetensors_refuses({"__metadata__", DType::kU8, {1}}));
  EXPECT_FALSE(
      SafetensorsWriter::create(folder(), {{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}).ok());
  const auto gguf_refuses = [&](TensorSpec spec) {
    return !GgufWriter::create(folder() / "m.gguf", {}, {std::move(spec)}).ok();
  };
  EXPECT_TRUE(gguf_refuses({"a", DType::kF8E4M3, {1}}));
  EXPECT_TRUE(gguf_refuses({"a", DType::kQ4_K, {2, 128}}));
  EXPECT_TRUE(gguf_refuses({"a", DType::kF32, {}}));
  EXPECT_TRUE(gguf_refuses({"a", DType::kF32, {1, 1, 1, 1, 1}}));
  EXPECT_TRUE(gguf_refuses({"a", DType::kF32, {0}}));
  EXPECT_TRUE(gguf_refuses({std::string(64, 'n'), DType::kF32, {1}}));
  EXPECT_FALSE(GgufWriter::create(folder() / "m.gguf", {}, {{"a", DType::kU8, {1}}}).ok());
  EXPECT_FALSE(GgufWriter::create(folder() / "m.gguf", {},
                                  {{"a", DType::kF32, {1}}, {"a", DType::kF32, {1}}})
                   .ok());
  EXPECT_THAT(listing(), IsEmpty());
}

}  // namespace
}  // namespace sluice::checkpoint
