// The published tokenizer on the recorded vectors of ../shared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include "base/file.h"
#include "checkpoint/gguf.h"
#include "support/paths.h"
#include "support/zstd_file.h"
#include "tokenizer/family_splitter.h"
#include "tokenizer/regex_splitter.h"
#include "tokenizer/small_tokenizer.h"

namespace sluice::tokenizer {
namespace {

using ::testing::HasSubstr;

Json json_file(const std::filesystem::path& path) {
  return parse_json(read_file(path, 1 << 26).value()).value();
}

// Both layouts of the same tokenizer; the one with string merges lacks seven added tokens.
Tokenizer published(const std::filesystem::path& data, bool string_merges) {
  const std::filesystem::path folder = data / "qwen35-tokenizer";
  const std::string name =
      string_merges ? "tokenizer.string-merges-26added.json.zst" : "tokenizer.json.zst";
  const Json config = json_file(folder / "tokenizer_config.qwen3.6.json");
  auto tokenizer = Tokenizer::from_json(sluice::test::read_zstd(folder / name), &config);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  return std::move(tokenizer).value();
}

class PublishedTokenizer : public ::testing::TestWithParam<bool> {};

TEST_P(PublishedTokenizer, EncodesTheRecordedTexts) {
  SLUICE_REQUIRE_SHARED(data, "data");
  const Tokenizer tokenizer = published(data, GetParam());
  EXPECT_EQ(tokenizer.size(), 248077);
  EXPECT_EQ(tokenizer.added_tokens().size(), 33u);
  EXPECT_LT(tokenizer.memory_bytes(), 60u << 20);
  size_t texts = 0;
  for (const char* name : {"qwen36-encodings.json", "ggml-inp-qwen35-ids.json"}) {
    const Json vectors = json_file(data / "tokenizer-vectors" / name);
    for (const Json& entry : vectors.find("entries")->items()) {
      const std::string& text = entry.find("text")->string();
      EXPECT_EQ(tokenizer.encode(text).value(), test::ids_of(*entry.find("ids"))) << text;
      ++texts;
    }
  }
  EXPECT_EQ(texts, 64u + 47u);
}

TEST_P(PublishedTokenizer, HasTheFlagsOfTheSpec) {  // serving-template.md 1.5
  SLUICE_REQUIRE_SHARED(data, "data");
  const Tokenizer tokenizer = published(data, GetParam());
  for (TokenId id = 248044; id < 248077; ++id) {
    const bool tag = id == 248058 || id == 248059 || (id >= 248060 && id <= 248069);
    EXPECT_EQ(tokenizer.is_special(id), !tag) << tokenizer.bytes(id);
    EXPECT_TRUE(tokenizer.is_added(id));
  }
  EXPECT_EQ(tokenizer.find_added("<|im_end|>"), 248046);
  EXPECT_EQ(tokenizer.find_added("</think>"), 248069);
  EXPECT_EQ(tokenizer.find_added("<|audio_pad|>"), 248076);
}

INSTANTIATE_TEST_SUITE_P(MergeLayouts, PublishedTokenizer, ::testing::Bool(),
                         [](const auto& layout) { return layout.param ? "strings" : "pairs"; });

TEST(PublishedVectors, Splits) {
  SLUICE_REQUIRE_SHARED(path, "data/tokenizer-vectors/pretokenizer-splits.json");
  const FamilySplitter qwen35 = *FamilySplitter::from_pattern(kQwen35Pattern);
  const RegexSplitter qwen35_regex = RegexSplitter::compile(kQwen35Pattern).value();
  const RegexSplitter llama3 =
      RegexSplitter::compile(
          R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)")
          .value();
  const Json vectors = json_file(path);
  EXPECT_EQ(vectors.find("entries")->items().size(), 108u);
  for (const Json& entry : vectors.find("entries")->items()) {
    const std::string& text = entry.find("text")->string();
    const auto expect = [&](const char* column, const std::vector<uint32_t>& ends) {
      std::vector<uint32_t> expected;
      uint32_t end = 0;
      for (const Json& piece : entry.find(column)->items()) {
        expected.push_back(end += static_cast<uint32_t>(piece.string().size()));
      }
      EXPECT_EQ(ends, expected) << column << ": " << text;
    };
    std::vector<uint32_t> fast, regex, other;
    qwen35.split(text, fast);
    ASSERT_TRUE(qwen35_regex.split(text, regex).ok());
    ASSERT_TRUE(llama3.split(text, other).ok());
    expect("qwen3_5", fast);
    expect("qwen3_5", regex);
    expect("llama3", other);
  }
}

TEST(PublishedVectors, AnItalianBookComesBack) {
  SLUICE_REQUIRE_SHARED(data, "data");
  const Tokenizer tokenizer = published(data, false);
  const std::string text = sluice::test::read_zstd(data / "text" / "promessi_sposi.txt.zst");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text).value(), false), text);
}

GgufVocabulary gguf_vocabulary(const std::filesystem::path& packed) {
  const std::string bytes = sluice::test::read_zstd(packed);
  const auto file = checkpoint::parse_gguf(std::as_bytes(std::span(bytes)), packed.string());
  EXPECT_TRUE(file.ok()) << file.error().message();
  const checkpoint::GgufMetadata& metadata = file->metadata;
  return {metadata.string("tokenizer.ggml.model").value().value(),
          metadata.string("tokenizer.ggml.pre").value().value(),
          metadata.strings("tokenizer.ggml.tokens").value().value(),
          metadata.integers("tokenizer.ggml.token_type").value().value(),
          metadata.strings("tokenizer.ggml.merges").value().value()};
}

struct GgufCase {
  const char* vectors;
  const char* file;
};
class GgufGoldens : public ::testing::TestWithParam<GgufCase> {};

TEST_P(GgufGoldens, EncodeAsHuggingFaceDoes) {
  SLUICE_REQUIRE_SHARED(folder, "goldens/gguf");
  const auto tokenizer = Tokenizer::from_gguf(gguf_vocabulary(folder / GetParam().file));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  const Json vectors = json_file(folder / GetParam().vectors);
  EXPECT_GE(vectors.find("texts")->items().size(), 5u);
  for (const Json& entry : vectors.find("texts")->items()) {
    const std::string& text = entry.find("text")->string();
    EXPECT_EQ(tokenizer->encode(text).value(), test::ids_of(*entry.find("tokenizers"))) << text;
  }
  EXPECT_FALSE(tokenizer->is_special(*tokenizer->find_added("<|file_sep|>")));
  EXPECT_TRUE(tokenizer->is_special(*tokenizer->find_added("<|im_end|>")));
}

INSTANTIATE_TEST_SUITE_P(Files, GgufGoldens,
                         ::testing::Values(GgufCase{"r2-tokenization.json", "r2-Q8_0.gguf.zst"},
                                           GgufCase{"r3-tokenization.json", "r3-Q4_K_M.gguf.zst"}));

TEST(PublishedTokenizerMemory, IsWhatTheAllocatorGave) {
  SLUICE_REQUIRE_SHARED(data, "data");
  const std::string json =
      sluice::test::read_zstd(data / "qwen35-tokenizer" / "tokenizer.json.zst");
  (void)Tokenizer::from_json(json, nullptr);  // process-wide tables
  const auto in_use = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const size_t before = in_use();
  const Tokenizer tokenizer = Tokenizer::from_json(json, nullptr).value();
  const size_t after = in_use();
  if (before == after) GTEST_SKIP() << "this allocator keeps no account (sanitizers)";
  const double measured = static_cast<double>(after - before);
  EXPECT_NEAR(static_cast<double>(tokenizer.memory_bytes()), measured, 0.02 * measured);
}

}  // namespace
}  // namespace sluice::tokenizer
