// The generators against the published tables, the readers and the model's own binding.
#include "models/random_model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "checkpoint/checkpoint.h"
#include "codec/codec.h"
#include "model/binding.h"
#include "models/random_fill.h"
#include "models/synthetic_vocabulary.h"
#include "support/paths.h"
#include "tokenizer/tokenizer.h"

namespace sluice::benchmarks {
namespace {

namespace fs = std::filesystem;
using checkpoint::Checkpoint;

// spec/formats-gguf.md 5.2: data bytes of the 27B, with and without the draft block.
TEST(RandomModel, SizesOfTheGgufTable) {
  ModelShape shape = *published_shape("27B");
  const std::map<std::string, std::pair<uint64_t, uint64_t>> table = {
      {"Q4_K_M", {16'536'406'016, 16'799'719'424}},
      {"Q5_K_M", {19'220'105'216, 19'524'706'304}},
      {"Q6_K", {22'071'535'616, 22'420'004'864}},
      {"Q8_0", {28'584'769'536, 29'036'089'344}},
      {"BF16", {53'797'287'936, 54'646'738'944}}};
  for (const auto& [name, sizes] : table) {
    shape.draft_head = false;
    EXPECT_EQ(gguf_bytes(shape, *mixture(name)), sizes.first) << name;
    shape.draft_head = true;
    EXPECT_EQ(gguf_bytes(shape, *mixture(name)), sizes.second) << name;
  }
}

TEST(RandomModel, TypeCountsOfQ4KM) {
  const ModelShape shape = *published_shape("27B");
  std::map<DType, int> counts;
  for (const Weight& weight : weights_of(shape))
    ++counts[gguf_type(*mixture("Q4_K_M"), shape, weight)];
  EXPECT_EQ(counts[DType::kQ4_K], 439);
  EXPECT_EQ(counts[DType::kQ6_K], 67);
  EXPECT_EQ(counts[DType::kF32], 360);
}

// Names and shapes of the published checkpoints, vision tower aside.
TEST(RandomModel, NamesAndShapesOfTheReleases) {
  for (const char* name : {"0.8B", "2B", "4B", "9B"}) {
    SLUICE_REQUIRE_SHARED(table, fmt::format("data/qwen36-configs/Qwen3.5-{}.tensors.tsv", name));
    std::map<std::string, std::string> published;
    std::ifstream lines(table);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream fields(line);
      std::string tensor, dtype, shape;
      fields >> tensor >> dtype >> shape;
      if (tensor.starts_with("model.") || tensor.starts_with("mtp.") ||
          tensor.starts_with("lm_head")) {
        if (!tensor.starts_with("model.visual.")) published[tensor] = shape;
      }
    }
    std::map<std::string, std::string> ours;
    for (const Weight& weight : weights_of(*published_shape(name))) {
      ours[weight.safetensors_name] = weight.kind == WeightKind::kConvolution
                                          ? fmt::format("{},1,{}", weight.rows, weight.columns)
                                      : weight.rows > 1
                                          ? fmt::format("{},{}", weight.rows, weight.columns)
                                          : fmt::format("{}", weight.columns);
    }
    EXPECT_EQ(ours, published) << name;
  }
}

ModelShape small_shape() {
  ModelShape shape;
  shape.name = "small";
  shape.layers = 4;
  shape.hidden = 256;
  shape.intermediate = 512;
  shape.query_heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 64;
  shape.key_heads = 2;
  shape.value_heads = 4;
  shape.vocabulary = 1024;
  shape.context = 4096;
  return shape;
}

double rms(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

// The model loads without a missing or leftover tensor, and each matrix has the spread it was made
// with.
void expect_good_model(const fs::path& path, const ModelShape& shape) {
  const auto checkpoint = Checkpoint::open(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message();
  const auto binding = model::bind(*checkpoint);
  ASSERT_TRUE(binding.ok()) << binding.error().message();
  for (const model::Problem& problem : binding->problems) {
    EXPECT_EQ(problem.severity, model::Problem::Severity::kNote)
        << problem.tensor << ": " << problem.message;
  }
  EXPECT_TRUE(binding->runnable);
  EXPECT_TRUE(binding->mtp_usable);
  EXPECT_EQ(binding->config.layers, shape.layers);
  EXPECT_EQ(binding->config.tied, shape.tied);
  EXPECT_EQ(binding->config.stop_ids.size(), 2u);
  std::map<std::string, float> expected;
  for (const Weight& weight : weights_of(shape)) {
    if (weight.kind != WeightKind::kLinear) continue;
    expected[weight.safetensors_name] = expected[weight.gguf_name] = weight_deviation(weight);
  }
  int seen = 0;
  for (const model::BoundWeight& weight : binding->weights) {
    if (!expected.contains(weight.name)) continue;
    ASSERT_TRUE(codec::check_matrix(weight.matrix, weight.name).ok());
    EXPECT_TRUE(codec::check_scales(weight.matrix, weight.name).ok()) << weight.name;
    EXPECT_TRUE(codec::check_codes(weight.matrix, weight.name).ok()) << weight.name;
    std::vector<float> values(static_cast<size_t>(weight.matrix.rows * weight.matrix.columns));
    codec::decode_rows(weight.matrix, 0, weight.matrix.rows, values.data());
    EXPECT_NEAR(rms(values) / expected[weight.name], 1.0, 0.15) << weight.name;
    ++seen;
  }
  EXPECT_GT(seen, 30);
}

TEST(RandomModel, SmallGgufModelsBind) {
  test::TemporaryFolder folder;
  for (const char* name : {"Q4_K_M", "Q8_0", "BF16"}) {
    ModelShape shape = small_shape();
    shape.tied = std::string_view(name) == "Q8_0";
    const fs::path file = folder.path() / fmt::format("{}.gguf", name);
    ASSERT_TRUE(write_random_gguf(file, shape, *mixture(name), {}).ok());
    expect_good_model(file, shape);
  }
}

TEST(RandomModel, RowsThatAreNoWholeSuperBlocksFallBack) {
  test::TemporaryFolder folder;
  ModelShape shape = small_shape();
  shape.hidden = 320;
  const fs::path file = folder.path() / "m.gguf";
  ASSERT_TRUE(write_random_gguf(file, shape, *mixture("Q4_K_M"), {}).ok());
  expect_good_model(file, shape);
  const auto checkpoint = Checkpoint::open(file);
  EXPECT_EQ(checkpoint->find("blk.0.ffn_up.weight")->dtype, DType::kQ5_0);
  EXPECT_EQ(checkpoint->find("output.weight")->dtype, DType::kQ8_0);
}

TEST(RandomModel, SmallSafetensorsModelsBind) {
  test::TemporaryFolder folder;
  for (const bool fp8 : {false, true}) {
    ModelShape shape = small_shape();
    shape.tied = !fp8;
    const fs::path place = folder.path() / (fp8 ? "fp8" : "bf16");
    const Status written = write_random_safetensors(place, shape, fp8, {});
    ASSERT_TRUE(written.ok()) << written.error().message();
    expect_good_model(place, shape);
    const auto checkpoint = Checkpoint::open(place);
    uint64_t bytes = 0;
    for (const auto& tensor : checkpoint->tensors()) bytes += tensor.bytes.size();
    EXPECT_EQ(bytes, safetensors_bytes(shape, fp8));
  }
}

TEST(RandomModel, SameSeedSameBytes) {
  test::TemporaryFolder folder;
  const auto write = [&](const char* name, uint64_t seed) {
    RandomModelOptions options;
    options.seed = seed;
    EXPECT_TRUE(
        write_random_gguf(folder.path() / name, small_shape(), *mixture("Q8_0"), options).ok());
    return *read_file(folder.path() / name, 64u << 20);
  };
  const std::string first = write("a.gguf", 7);
  EXPECT_TRUE(first == write("b.gguf", 7));
  EXPECT_FALSE(first == write("c.gguf", 8));
}

TEST(RandomModel, RefusesWhatDoesNotFitTheDisk) {
  test::TemporaryFolder folder;
  const Status refused = require_space(folder.path(), uint64_t{1} << 60);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kDoesNotFit);
}

TEST(SyntheticVocabulary, PublishedIdsAndBothForms) {
  const SyntheticVocabulary full = synthetic_vocabulary(248320);
  EXPECT_EQ(full.tokens.size(), 248320u);
  EXPECT_EQ(full.end_of_text, 248044);
  EXPECT_EQ(full.end_of_turn, 248046);
  EXPECT_EQ(full.tokens[248068], "<think>");
  EXPECT_EQ(full.tokens[248076], "<|audio_pad|>");
  EXPECT_EQ(full.tokens[248077], "[PAD248077]");

  const SyntheticVocabulary small = synthetic_vocabulary(512);
  const auto from_gguf =
      tokenizer::Tokenizer::from_gguf({"gpt2", "qwen35", small.tokens, small.types, {}});
  ASSERT_TRUE(from_gguf.ok()) << from_gguf.error().message();
  const auto from_json =
      tokenizer::Tokenizer::from_json(synthetic_tokenizer_json(small).dump(), nullptr);
  ASSERT_TRUE(from_json.ok()) << from_json.error().message();
  const std::string text = "Grüße, 世界!<|im_end|>\n";
  const auto ids = from_gguf->encode(text);
  ASSERT_TRUE(ids.ok()) << ids.error().message();
  EXPECT_EQ(*ids, *from_json->encode(text));
  EXPECT_EQ(from_gguf->decode(*ids, false), text);
  EXPECT_EQ((*ids)[ids->size() - 2], small.end_of_turn);
}

}  // namespace
}  // namespace sluice::benchmarks
