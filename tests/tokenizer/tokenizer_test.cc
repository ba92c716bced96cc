#include "tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <thread>

#include "base/check.h"
#include "tokenizer/nfc.h"
#include "tokenizer/small_tokenizer.h"
#include "tokenizer/word_cache.h"

namespace sluice::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Tokenizer& small() {
  static const Tokenizer tokenizer = test::small_tokenizer();
  return tokenizer;
}

std::vector<std::string> tokens_of(std::string_view text, const EncodeOptions& options = {}) {
  std::vector<std::string> out;
  const std::vector<TokenId> ids = small().encode(text, options).value();
  for (const TokenId id : ids) out.emplace_back(small().bytes(id));
  return out;
}

// Recorded with Hugging Face's library (tests/reference/tokenizer_small.py).
TEST(Tokenizer, IdsOfTheReference) {
  const Json goldens = parse_json(test::read_data("small_goldens.json")).value();
  EXPECT_GT(goldens.find("entries")->items().size(), 150u);
  for (const Json& entry : goldens.find("entries")->items()) {
    const std::string& text = entry.find("text")->string();
    EXPECT_EQ(small().encode(text).value(), test::ids_of(*entry.find("ids"))) << text;
  }
}

TEST(Tokenizer, DecodingGivesTheNormalizedTextBack) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = test::random_text(random, random() % 60);
    std::string normal;
    if (!normalize_nfc(text, normal)) normal = text;
    ASSERT_EQ(small().decode(small().encode(text, {.recognise_added = false}).value(), false),
              normal);
  }
}

TEST(Tokenizer, AddedTokensAreTextWhenToldSo) {
  const TokenId end = *small().find_added("<|im_end|>");
  EXPECT_THAT(small().encode("<|im_end|>").value(), ElementsAre(end));
  EXPECT_THAT(small().encode("<|im_end|>", {.recognise_added = false}).value(),
              ::testing::Not(::testing::Contains(end)));
  EXPECT_EQ(small().decode(small().encode("<|im_end|>", {.recognise_added = false}).value(), true),
            "<|im_end|>");
  EXPECT_EQ(small().decode(std::vector<TokenId>{end}, true), "");
  EXPECT_EQ(small().decode(std::vector<TokenId>{end}, false), "<|im_end|>");
  EXPECT_EQ(small().decode(std::vector<TokenId>{-1, 9999, 1 << 30}, false), "");
}

TEST(Tokenizer, LiteralRangesAreOrdinaryTextJoinedToWhatIsAroundThem) {
  const std::string text = "<|im_start|>user\nin <|im_end|><|im_end|>";
  const std::vector<TextRange> literal = {{17, 30}};
  const std::vector<TokenId> ids = small().encode(text, {.literal = literal}).value();
  const TokenId start = *small().find_added("<|im_start|>"),
                end = *small().find_added("<|im_end|>");
  EXPECT_EQ(ids.front(), start);
  EXPECT_EQ(ids.back(), end);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 1);
  // The middle is one text to the pre-tokenizer: "user\n" and the content together.
  std::vector<TokenId> middle =
      small().encode("user\nin <|im_end|>", {.recognise_added = false}).value();
  EXPECT_THAT(std::vector<TokenId>(ids.begin() + 1, ids.end() - 1), middle);
  // "\n" joined to the "\n\n" of the content is one piece, as three line ends are.
  EXPECT_EQ(tokens_of("\n\n\n", {.literal = std::vector<TextRange>{{1, 3}}}), tokens_of("\n\n\n"));
  // One byte is enough to make the token ordinary.
  EXPECT_THAT(tokens_of("<think>", {.literal = std::vector<TextRange>{{6, 7}}}).front(), "<");
  EXPECT_THAT(tokens_of("x<think>", {.literal = std::vector<TextRange>{{0, 1}}}),
              ElementsAre("x", "<think>"));
}

// The token "Ångström" is searched in normalized text, where offsets differ from the text's.
TEST(Tokenizer, LiteralRangesHoldInNormalizedText) {
  const std::string decomposed = "A\u030Angstr\u00F6m", composed = "\u00C5ngstr\u00F6m";
  const TokenId id = *small().find_added(composed);
  const std::string text = decomposed + decomposed + composed;  // 11 + 11 + 10 bytes
  const auto count = [&](std::vector<TextRange> literal) {
    const auto ids = small().encode(text, {.literal = literal}).value();
    return std::count(ids.begin(), ids.end(), id);
  };
  EXPECT_EQ(count({}), 3);
  EXPECT_EQ(count({{0, 1}}), 2);
  EXPECT_EQ(count({{1, 3}}), 2);    // only the combining ring
  EXPECT_EQ(count({{10, 11}}), 2);  // the last letter of the first
  EXPECT_EQ(count({{11, 12}}), 2);  // the first of the second
  EXPECT_EQ(count({{10, 12}}), 1);
  EXPECT_EQ(count({{21, 22}, {22, 23}}), 1);
  EXPECT_EQ(count({{31, 32}}), 2);
  EXPECT_EQ(count({{0, 32}}), 0);
  EXPECT_EQ(count({{11, 11}}), 3);
}

// What normalization moved or joined is literal as soon as a part of it was.
TEST(Tokenizer, AChangedStretchIsLiteralAsAWhole) {
  Json json = test::small_tokenizer_json();
  Json& added = json.find("added_tokens")->items()[13];
  added.set("content", "\u0316");
  added.set("normalized", true);
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), nullptr).value();
  const TokenId mark = *tokenizer.find_added("\u0316");
  const std::string text = "a\u0301\u0316";  // becomes U+00E1 U+0316
  const auto ends_with_mark = [&](std::vector<TextRange> literal) {
    return tokenizer.encode(text, {.literal = literal}).value().back() == mark;
  };
  EXPECT_TRUE(ends_with_mark({}));
  EXPECT_FALSE(ends_with_mark({{0, 1}}));
  EXPECT_FALSE(ends_with_mark({{4, 5}}));
}

TEST(Tokenizer, RangesOutOfOrderBreakThePromise) {
  const std::vector<TextRange> backwards = {{3, 4}, {1, 2}}, outside = {{0, 9}};
  EXPECT_THROW((void)small().encode("12345", {.literal = backwards}), ContractViolation);
  EXPECT_THROW((void)small().encode("12345", {.literal = outside}), ContractViolation);
}

TEST(Tokenizer, InvalidUtf8IsRefusedWithItsOffset) {
  for (const auto& [text, offset] :
       std::vector<std::pair<std::string, int>>{{"\xFF", 0},
                                                {"ab\xC3", 2},
                                                {"\u00E9\xED\xA0\x80", 2},
                                                {"x\xC0\x80", 1},
                                                {"<think>\xF4\x90\x80\x80", 7}}) {
    const auto ids = small().encode(text);
    ASSERT_FALSE(ids.ok());
    EXPECT_THAT(ids.error().message(), HasSubstr("at offset " + std::to_string(offset)));
    EXPECT_THAT(ids.error().message(), HasSubstr("not valid UTF-8"));
  }
}

TEST(Tokenizer, Table) {
  EXPECT_EQ(small().size(), 420);
  EXPECT_EQ(small().added_tokens().size(), 14u);
  EXPECT_TRUE(std::is_sorted(small().added_tokens().begin(), small().added_tokens().end(),
                             [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; }));
  EXPECT_FALSE(small().find_added("in"));
  EXPECT_FALSE(small().is_added(0));
  EXPECT_TRUE(small().is_added(*small().find_added("<think>")));
  EXPECT_FALSE(small().is_special(*small().find_added("<think>")));
  EXPECT_EQ(small().bytes(*small().find_added("<think>")), "<think>");
  EXPECT_EQ(small().bytes(small().encode(" in").value()[0])[0], ' ');
}

TEST(Tokenizer, ConfigAddsTokensThatOnlyItNames) {
  const Json config = parse_json(R"({"added_tokens_decoder": {
      "407": {"content": "<|im_start|>", "special": false},
      "500": {"content": "<|audio_pad|>", "special": true}}})")
                          .value();
  const Tokenizer tokenizer =
      Tokenizer::from_json(test::read_data("small_tokenizer.json"), &config).value();
  EXPECT_EQ(tokenizer.size(), 501);
  EXPECT_THAT(tokenizer.encode("<|audio_pad|>").value(), ElementsAre(500));
  EXPECT_TRUE(tokenizer.is_special(500));
  EXPECT_TRUE(tokenizer.is_special(407));  // tokenizer.json's own flag stands
  EXPECT_EQ(tokenizer.bytes(450), "");     // between the two files' ids
}

// A megabyte of each kind of text that has made some tokenizer quadratic. Nothing is timed: where
// the work is quadratic these take minutes or hours (bpe_test counts it).
TEST(Tokenizer, HostileMegabytes) {
  std::mt19937 random(9);
  std::string letters(1 << 20, 'a');
  for (char& c : letters) c = static_cast<char>('a' + random() % 26);
  for (const std::string& text :
       {test::repeated("a", 1 << 20), test::repeated(" ", 1 << 20), test::repeated("\n", 1 << 20),
        test::repeated("\u0301", 1 << 20), test::repeated("\u0301\u0316", 1 << 20),
        test::repeated("<|im_", 1 << 20), test::repeated("<tts_text_bos_singl", 1 << 20),
        test::repeated("7", 1 << 20), test::repeated(" \n", 1 << 20),
        test::repeated("\u3000x", 1 << 20), test::repeated("'l", 1 << 20),
        test::repeated("\u4F60", 1 << 20), letters}) {
    std::string normal;
    if (!normalize_nfc(text, normal)) normal = text;
    const auto ids = small().encode(text);
    ASSERT_TRUE(ids.ok());
    ASSERT_EQ(small().decode(*ids, false), normal);
  }
}

TEST(Tokenizer, ThreadsShareOneWordCache) {
  std::mt19937 random(4);
  std::vector<std::string> texts;
  std::vector<std::vector<TokenId>> expected;
  for (int i = 0; i < 200; ++i) {
    texts.push_back(test::random_text(random, 80));
    expected.push_back(test::small_tokenizer().encode(texts.back()).value());
    if (i == 40) break;  // a fresh tokenizer each: nothing cached
  }
  std::vector<int> wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < wrong.size(); ++t) {
      threads.emplace_back([&, t] {
        for (int round = 0; round < 50; ++round) {
          const size_t i = (static_cast<size_t>(round) * 7 + t) % texts.size();
          wrong[t] += small().encode(texts[i]).value() == expected[i] ? 0 : 1;
        }
      });
    }
  }
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

TEST(Tokenizer, MemoryIsWhatTheAllocatorGave) {
  (void)small();  // the process-wide tables exist now; they count as part of every tokenizer
  const std::string json = test::read_data("small_tokenizer.json");
  const auto in_use = [] {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
  };
  const size_t before = in_use();
  const Tokenizer tokenizer = Tokenizer::from_json(json, nullptr).value();
  const size_t after = in_use();
  if (before == after) GTEST_SKIP() << "this allocator keeps no account (sanitizers)";
  const double measured = static_cast<double>(after - before);
  EXPECT_NEAR(static_cast<double>(tokenizer.memory_bytes()), measured, 0.06 * measured);
  EXPECT_GT(tokenizer.memory_bytes(), WordCache::memory_bytes());
}

}  // namespace
}  // namespace sluice::tokenizer
