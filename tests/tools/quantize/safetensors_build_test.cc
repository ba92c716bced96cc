// Safetensors builds: BF16 round trips bit by bit, every recipe read back by our own loader with
// the values that the report judged.
#include "tools/quantize/safetensors_build.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/file.h"
#include "model/tensor_names.h"
#include "support/paths.h"
#include "tokenizer/tokenizer.h"
#include "tools/convert/row_stream.h"
#include "tools/quantize/golden_hashes.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using quantize::DraftHead;
using quantize::SafetensorsRequest;

SafetensorsRequest request_for(const std::string& recipe, const std::string& layout = "",
                               DraftHead draft = DraftHead::kBf16) {
  SafetensorsRequest request;
  request.recipe = quantize::find_recipe(recipe);
  request.layout = *quantize::layout_for(*request.recipe, layout);
  request.draft = draft;
  return request;
}

// dtype and hash of every tensor are those of the golden checkpoint, but for the decay, which went
// through exponential and logarithm.
void expect_checkpoint(const fs::path& folder, const Json& golden) {
  const auto opened = checkpoint::Checkpoint::open(folder);
  ASSERT_TRUE(opened.ok()) << opened.error().message();
  EXPECT_EQ(opened->tensors().size(), golden.members().size());
  for (const auto& [name, facts] : golden.members()) {
    const std::string text_only =
        name.starts_with("model.language_model.") ? "model." + name.substr(21) : name;
    const checkpoint::StoredTensor* stored = opened->find(name);
    if (stored == nullptr) stored = opened->find(text_only);
    if (stored == nullptr) {
      ADD_FAILURE() << "no " << name;
      continue;
    }
    const bool bf16 = facts.items()[0].string() == "bfloat16";
    EXPECT_EQ(stored->dtype, bf16 ? DType::kBF16 : DType::kF32) << name;
    if (name.ends_with("A_log") && !bf16) continue;
    EXPECT_EQ(test::short_hash(stored->bytes), facts.items()[1].string()) << name;
  }
}

TEST(SafetensorsBuild, Bf16OfAGgufIsTheCheckpointItWasMadeFrom) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const fs::path out = folder.path() / "out";
  test::build(test::unpack_r3(goldens, folder.path()), out,
              request_for("safetensors", "", DraftHead::kSame));
  const Json golden = test::golden_tensors(goldens);
  expect_checkpoint(out, *golden.find("r3-hf"));
}

TEST(SafetensorsBuild, RoundTripThroughGgufKeepsEveryBit) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const fs::path source = test::unpack_r2(goldens, folder.path());
  quantize::GgufRequest gguf;
  gguf.mixture = quantize::find_mixture("bf16");
  gguf.draft = DraftHead::kSame;
  test::build(source, folder.path() / "r2.gguf", gguf);
  test::build(folder.path() / "r2.gguf", folder.path() / "back",
              request_for("safetensors", "", DraftHead::kSame));
  const Json golden = test::golden_tensors(goldens);
  expect_checkpoint(folder.path() / "back", *golden.find("r2-hf"));
}

// The tokenizer that comes back out of a GGUF gives the ids of the one that went in.
TEST(SafetensorsBuild, TokenizerSurvivesBothWays) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const fs::path source = test::unpack_r2(goldens, folder.path());
  quantize::GgufRequest gguf;
  gguf.mixture = quantize::find_mixture("bf16");
  test::build(source, folder.path() / "r2.gguf", gguf);
  const fs::path back = folder.path() / "back";
  test::build(folder.path() / "r2.gguf", back, request_for("safetensors"));
  const auto open = [](const fs::path& in) {
    const auto config = parse_json(*read_file(in / "tokenizer_config.json", 1 << 24));
    return tokenizer::Tokenizer::from_json(*read_file(in / "tokenizer.json", 1 << 24), &*config);
  };
  const auto before = open(source), after = open(back);
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(before->size(), after->size());
  for (const char* text : {"The captain's 23 men\n\n<|im_start|>user <think>hm</think>",
                           "e\xCC\x81 \xE2\x84\xAB <tool_call>"}) {
    EXPECT_EQ(*before->encode(text), *after->encode(text)) << text;
  }
  for (const auto& added : before->added_tokens())
    EXPECT_EQ(after->is_special(added.id), added.special) << added.content;
}

struct RecipeCase {
  const char *recipe, *layout;
  Format format;
  double worst;  // relative error of any quantized tensor of these matrices
};

// Errors of random matrices: quantization-algorithms.md 3.3, with room for the heavy tails of
// these.
const RecipeCase kCases[] = {
    {"fp8_block", "official", Format::kFp8Block, 0.032},
    {"fp8_block", "compressed-tensors", Format::kFp8Block, 0.032},
    {"fp8_channel", "compressed-tensors", Format::kFp8Channel, 0.032},
    {"fp8_channel", "modelopt", Format::kFp8Channel, 0.032},
    {"nvfp4", "compressed-tensors", Format::kNvfp4, 0.10},
    {"nvfp4", "modelopt", Format::kNvfp4, 0.10},
    {"nvfp4_a8", "compressed-tensors", Format::kNvfp4A8, 0.10},
    {"nvfp4_a4", "compressed-tensors", Format::kNvfp4A4, 0.10},
    {"nvfp4_a4", "modelopt", Format::kNvfp4A4, 0.10},
    {"w4a8_nvfp4", "modelopt", Format::kW4A8Nvfp4, 0.12},
    {"mixed", "compressed-tensors", Format::kNvfp4, 0.10},
};

class RecipeBuild : public testing::TestWithParam<RecipeCase> {};

TEST_P(RecipeBuild, IsReadBackAsWritten) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const RecipeCase& one = GetParam();
  const fs::path source_path = test::unpack_r3(goldens, folder.path());
  const auto source = convert::open_source(source_path);
  ASSERT_TRUE(source.ok());
  quantize::ActivationRanges ranges;
  for (const auto& weight : source->weights)
    ranges.set(weight.canonical.substr(0, weight.canonical.rfind('.')), 8.0f);
  SafetensorsRequest request = request_for(one.recipe, one.layout);
  request.ranges = &ranges;
  const fs::path out = folder.path() / "out";
  const auto report = test::build(source_path, out, request);

  const auto built = convert::open_source(out);
  ASSERT_TRUE(built.ok()) << built.error().message();
  for (const auto& problem : built->binding.problems)
    EXPECT_EQ(problem.severity, model::Problem::Severity::kNote)
        << problem.tensor << ": " << problem.message;
  EXPECT_TRUE(built->binding.mtp_usable);
  std::map<std::string, double> reported;
  for (const auto& tensor : report.tensors)
    reported[model::canonical_name(tensor.name)] = tensor.error;
  const auto* mlp = built->find("layers.0.mlp.up_proj.weight");
  ASSERT_NE(mlp, nullptr);
  EXPECT_EQ(mlp->bound->matrix.format, one.format);
  for (const auto& weight : built->weights) {
    const auto* original = source->find(weight.canonical);
    ASSERT_NE(original, nullptr) << weight.canonical;
    if (weight.bound->vector) continue;
    const convert::RowReader before(*source, *original, convert::Convention::kPublished);
    const convert::RowReader after(*built, weight, convert::Convention::kPublished);
    const auto a = convert::read_whole(before), b = convert::read_whole(after);
    convert::ErrorSum sum;
    for (size_t i = 0; i < a.size(); ++i) {
      const double difference = static_cast<double>(b[i]) - static_cast<double>(a[i]);
      sum.squared_error += difference * difference;
      sum.squared_norm += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    }
    const bool quantized = weight.bound->matrix.format != Format::kBF16;
    if (!quantized) {
      EXPECT_EQ(sum.squared_error, 0) << weight.canonical;
      continue;
    }
    EXPECT_LT(sum.relative(), one.worst) << weight.canonical;
    EXPECT_GT(sum.relative(), 0.01) << weight.canonical;
    std::string name = weight.canonical;
    if (one.layout == std::string("compressed-tensors") && weight.bound->name.ends_with("_packed"))
      name += "_packed";
    EXPECT_NEAR(reported.at(name), sum.relative(), 1e-9) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Recipes, RecipeBuild, testing::ValuesIn(kCases), [](const auto& one) {
  std::string name = std::string(one.param.recipe) + "_" + one.param.layout;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// A power-of-two tensor scale makes the two NVFP4 layouts of one source equal to the last bit.
TEST(SafetensorsBuild, BothNvfp4LayoutsDecodeToTheSameBits) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const fs::path source = test::unpack_r3(goldens, folder.path());
  test::build(source, folder.path() / "ct", request_for("nvfp4", "compressed-tensors"));
  test::build(source, folder.path() / "mo", request_for("nvfp4", "modelopt"));
  const auto ct = convert::open_source(folder.path() / "ct");
  const auto mo = convert::open_source(folder.path() / "mo");
  ASSERT_TRUE(ct.ok() && mo.ok());
  size_t compared = 0;
  for (const auto& weight : ct->weights) {
    if (weight.bound->matrix.format != Format::kNvfp4) continue;
    const auto* other = mo->find(weight.canonical);
    ASSERT_NE(other, nullptr);
    const convert::RowReader a(*ct, weight, convert::Convention::kPublished);
    const convert::RowReader b(*mo, *other, convert::Convention::kPublished);
    EXPECT_EQ(convert::read_whole(a), convert::read_whole(b)) << weight.canonical;
    ++compared;
  }
  EXPECT_EQ(compared, 2u * 4 + 6u * 3 + 8u * 3);
}

TEST(SafetensorsBuild, StaticScalesNeedRanges) {
  SLUICE_REQUIRE_SHARED(goldens, "goldens/gguf");
  const test::TemporaryFolder folder;
  const auto source = convert::open_source(test::unpack_r3(goldens, folder.path()));
  ASSERT_TRUE(source.ok());
  const auto plan = quantize::plan_safetensors(*source, request_for("nvfp4_a4"));
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code, ErrorCode::kUsage);
  EXPECT_EQ(plan.error().what, "--ranges");
}

}  // namespace
}  // namespace sluice
