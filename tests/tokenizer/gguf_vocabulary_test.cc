#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer/small_tokenizer.h"

namespace sluice::tokenizer {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;

// What the converter makes of the small tokenizer (without the tokens of its "fine-tune"), two
// unused rows more.
GgufVocabulary converted() {
  const Json json = test::small_tokenizer_json();
  const Json* model = json.find("model");
  GgufVocabulary out{"gpt2", "qwen35", {}, {}, {}};
  out.tokens.resize(418);
  out.types.resize(418, kUnused);
  const auto set = [&](const Json& id, const std::string& text, int64_t type) {
    const auto i = static_cast<size_t>(id.as_int64().value());
    if (i >= 416) return;
    out.tokens[i] = text;
    out.types[i] = type;
  };
  for (const auto& [token, id] : model->find("vocab")->members()) set(id, token, kNormal);
  for (const Json& added : json.find("added_tokens")->items()) {
    const std::string& content = added.find("content")->string();
    const bool control = content.starts_with("<|") || content.starts_with("<tts");
    set(*added.find("id"), content, control ? kControl : kUserDefined);
  }
  for (size_t i = 416; i < out.tokens.size(); ++i) out.tokens[i] = "[PAD" + std::to_string(i) + "]";
  for (const Json& merge : model->find("merges")->items()) out.merges.push_back(merge.string());
  return out;
}

std::string refusal(const GgufVocabulary& vocabulary) {
  const auto tokenizer = Tokenizer::from_gguf(vocabulary);
  return tokenizer.ok() ? "accepted" : tokenizer.error().message();
}

TEST(GgufVocabulary, IsTheTokenizerItWasMadeFrom) {
  Json json = test::small_tokenizer_json();
  json.find("added_tokens")->items().resize(10);  // without the tokens of the "fine-tune"
  const Tokenizer original = Tokenizer::from_json(json.dump(), nullptr).value();
  const Tokenizer tokenizer = Tokenizer::from_gguf(converted()).value();
  EXPECT_EQ(tokenizer.size(), original.size());  // [PADn] rows are no tokens
  EXPECT_EQ(tokenizer.bytes(416), "");
  for (TokenId id = -1; id < 420; ++id) {
    EXPECT_EQ(tokenizer.bytes(id), original.bytes(id)) << id;
    EXPECT_EQ(tokenizer.is_added(id), original.is_added(id)) << id;
    EXPECT_EQ(tokenizer.is_special(id), original.is_special(id)) << tokenizer.bytes(id);
  }
  std::mt19937 random(8);
  for (int round = 0; round < 300; ++round) {
    const std::string text =
        test::random_text(random, 20) + "<think>" + test::random_text(random, 20) + "<|im_end|>";
    ASSERT_EQ(tokenizer.encode(text).value(), original.encode(text).value()) << text;
  }
}

TEST(GgufVocabulary, FlagsThatTheConverterLost) {
  const Tokenizer tokenizer = Tokenizer::from_gguf(converted()).value();
  EXPECT_TRUE(tokenizer.is_special(*tokenizer.find_added("<|im_end|>")));
  EXPECT_TRUE(tokenizer.is_special(*tokenizer.find_added("<tts_text_bos>")));
  EXPECT_FALSE(
      tokenizer.is_special(*tokenizer.find_added("<|fim_prefix|>")));  // marked as control there
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.find_added("<think>")));
}

TEST(GgufVocabulary, NormalizesForBothPatterns) {
  for (const char* pre : {"qwen35", "qwen2"}) {
    GgufVocabulary vocabulary = converted();
    vocabulary.pre = pre;
    const Tokenizer tokenizer = Tokenizer::from_gguf(vocabulary).value();
    EXPECT_EQ(tokenizer.decode(tokenizer.encode("e\u0301").value(), false), "\u00E9");
  }
}

TEST(GgufVocabulary, RefusesByName) {
  const auto with = [](auto change) {
    GgufVocabulary vocabulary = converted();
    change(vocabulary);
    return refusal(vocabulary);
  };
  EXPECT_EQ(with([](GgufVocabulary&) {}), "accepted");
  EXPECT_THAT(with([](GgufVocabulary& v) { v.model = "llama"; }),
              HasSubstr("tokenizer.ggml.model is \"llama\""));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.pre = "gpt-4o"; }),
              HasSubstr("tokenizer.ggml.pre is \"gpt-4o\""));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.types.pop_back(); }),
              HasSubstr("418 tokens but 417 entries"));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.types[300] = 6; }), HasSubstr("token 300 "));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.types[7] = -1; }), HasSubstr("has type -1"));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.tokens[300] = "\xFF"; }),
              HasSubstr("token 300 is not valid UTF-8 at its byte 0"));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.tokens[300] = v.tokens[301]; }),
              HasSubstr("occurs twice in the vocabulary, with ids 300 and 301"));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.merges.push_back("ab"); }),
              HasSubstr("merge 150 is \"ab\""));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.merges.push_back("a \xFF"); }),
              HasSubstr("merge 150"));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.types[64] = kUnused; }),
              HasSubstr("no token \"a\" for the byte 0x61"));
  EXPECT_THAT(with([](GgufVocabulary& v) { v.tokens[410] = ""; }), HasSubstr("has 0 bytes"));
  EXPECT_THAT(with([](GgufVocabulary& v) {
                v.tokens.resize((1 << 20) + 1);
                v.types.resize((1 << 20) + 1, kUnused);
              }),
              HasSubstr("1048577 tokens, at most 1048576"));
  EXPECT_THAT(refusal({"gpt2", "qwen35", {}, {}, {}}), HasSubstr("no token"));
}

}  // namespace
}  // namespace sluice::tokenizer
