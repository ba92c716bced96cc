#include "tokenizer/splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokenizer/small_tokenizer.h"

namespace sluice::tokenizer {
namespace {

using ::testing::ElementsAre;

template <typename AnySplitter>
std::vector<std::string> pieces(const AnySplitter& splitter, std::string_view text) {
  std::vector<uint32_t> ends;
  if constexpr (std::is_same_v<AnySplitter, FamilySplitter>) {
    splitter.split(text, ends);
  } else {
    EXPECT_TRUE(splitter.split(text, ends).ok());
  }
  std::vector<std::string> out;
  size_t begin = 0;
  for (const uint32_t end : ends) {
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return out;
}

TEST(FamilySplitter, KnowsItsPatternsOnly) {
  EXPECT_TRUE(FamilySplitter::from_pattern(kQwen35Pattern));
  EXPECT_TRUE(FamilySplitter::from_pattern(kQwen2Pattern));
  EXPECT_FALSE(FamilySplitter::from_pattern(R"(\s+|\S+)"));
  EXPECT_FALSE(FamilySplitter::from_pattern(kQwen35Pattern.substr(1)));
}

TEST(FamilySplitter, Examples) {
  const FamilySplitter qwen35 = *FamilySplitter::from_pattern(kQwen35Pattern);
  const FamilySplitter qwen2 = *FamilySplitter::from_pattern(kQwen2Pattern);
  EXPECT_THAT(pieces(qwen35, "They'LL say 12 \n\n  x"),
              ElementsAre("They", "'LL", " say", " ", "1", "2", " \n\n", " ", " x"));
  EXPECT_THAT(pieces(qwen35, "'\u017Fa 'sound"), ElementsAre("'\u017F", "a", " '", "sound"));
  EXPECT_THAT(pieces(qwen35, "end   "), ElementsAre("end", "   "));
  EXPECT_THAT(pieces(qwen35, "(a) ...\r\n\r\nb"), ElementsAre("(a", ")", " ...\r\n\r\n", "b"));
  // The one difference: a combining mark belongs to the word, or to the symbols.
  EXPECT_THAT(pieces(qwen35, "q\u0323x"), ElementsAre("q\u0323x"));
  EXPECT_THAT(pieces(qwen2, "q\u0323x"), ElementsAre("q", "\u0323x"));
  EXPECT_THAT(pieces(qwen2, "q\u0323!x"), ElementsAre("q", "\u0323!", "x"));
}

// The hand-written matcher against PCRE2 on the same pattern. PCRE2 10.42 knows Unicode 14.
TEST(FamilySplitter, RandomTextAsTheRegexHasIt) {
  for (const std::string_view pattern : {kQwen35Pattern, kQwen2Pattern}) {
    const FamilySplitter fast = *FamilySplitter::from_pattern(pattern);
    const RegexSplitter regex = RegexSplitter::compile(pattern).value();
    std::mt19937 random(5);
    for (int round = 0; round < 6000; ++round) {
      const std::string text = test::random_text(random, 1 + random() % 40, 14);
      ASSERT_EQ(pieces(fast, text), pieces(regex, text)) << text;
    }
  }
}

TEST(FamilySplitter, EveryCharacterAsTheRegexHasIt) {
  const FamilySplitter fast = *FamilySplitter::from_pattern(kQwen35Pattern);
  const RegexSplitter regex = RegexSplitter::compile(kQwen35Pattern).value();
  std::mt19937 random(6);
  std::string text;
  for (int round = 0; round < 40; ++round) {
    // A long text, so that a difference anywhere moves every piece behind it.
    ASSERT_EQ(pieces(fast, text), pieces(regex, text));
    text = test::random_text(random, 20000, 14);
  }
}

TEST(Splitter, TakesTheRegexForOtherPatterns) {
  const Splitter splitter = Splitter::from_pattern(R"(\p{N}{1,3}|\s)").value();
  EXPECT_THAT(pieces(splitter, "ab1234 c"), ElementsAre("ab", "123", "4", " ", "c"));
  EXPECT_GT(splitter.memory_bytes(), 0u);
  EXPECT_EQ(Splitter::from_pattern(kQwen35Pattern).value().memory_bytes(), 0u);
}

}  // namespace
}  // namespace sluice::tokenizer
