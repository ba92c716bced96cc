#include "tokenizer/regex_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::tokenizer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RegexSplitter, MatchesAndWhatLiesBetween) {
  const RegexSplitter splitter = RegexSplitter::compile(R"(b+)").value();
  std::vector<uint32_t> ends;
  ASSERT_TRUE(splitter.split("abbcbd", ends).ok());
  EXPECT_THAT(ends, ElementsAre(1, 3, 4, 5, 6));
  ends.clear();
  ASSERT_TRUE(splitter.split("", ends).ok());
  EXPECT_TRUE(ends.empty());
}

TEST(RegexSplitter, WhiteSpaceIsUnicodesNotPcres) {
  const RegexSplitter splitter = RegexSplitter::compile(R"(\s|[\sx]y)").value();
  std::vector<uint32_t> ends;
  ASSERT_TRUE(
      splitter.split("a\u180Eb\u2003c", ends).ok());  // U+180E has not been a space since 2013
  EXPECT_THAT(ends, ElementsAre(5, 8, 9));
}

TEST(RegexSplitter, RefusesWhatTheEnginesReadDifferently) {
  for (const char* pattern :
       {R"(\w+)",     R"(\bx)",         R"(x\h)",     R"(\R)",   R"(\X)",     R"(^a)",
        R"(a$)",      R"([[:alpha:]])", R"([a&&b])",  R"([\S])", R"((?m:.))", R"((?<n>a))",
        R"((*UTF)a)", R"(\p{Greek})",   R"(\p{Foo})", R"(\p{L)", R"(\pL)",    R"(a{2}+)",
        R"(a{,3})",   R"(a{2}?)",       R"(\x41)",    R"(\1)",   R"(\K)",     R"([])",
        R"(\)",       R"(\é)"}) {
    const auto splitter = RegexSplitter::compile(pattern);
    ASSERT_FALSE(splitter.ok()) << pattern;
    EXPECT_THAT(splitter.error().message(), HasSubstr("is not supported")) << pattern;
    EXPECT_THAT(splitter.error().message(), HasSubstr(pattern));
  }
}

TEST(RegexSplitter, AcceptsThePublishedFamilies) {
  for (
      const char* pattern :
      {// Llama 3
       R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       // o200k
       R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
       // with a script
       R"([\p{Han}]+|\P{Han})"}) {
    const auto splitter = RegexSplitter::compile(pattern);
    EXPECT_TRUE(splitter.ok()) << splitter.error().message();
  }
}

TEST(RegexSplitter, RefusesPatternsThatDoNotCompileOrMatchNothing) {
  EXPECT_THAT(RegexSplitter::compile("(a").error().message(), HasSubstr("parenthesis"));
  EXPECT_THAT(RegexSplitter::compile(R"(\s*)").error().message(), HasSubstr("empty text"));
}

TEST(RegexSplitter, APatternThatBacktracksWithoutEndIsStopped) {
  const RegexSplitter splitter = RegexSplitter::compile("(?:a|a)+b").value();
  std::vector<uint32_t> ends;
  const Status status = splitter.split(std::string(64, 'a') + "cb", ends);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr("at byte 0 of the text"));
}

TEST(RegexSplitter, LongMatchesDoNotRunOutOfStack) {
  const RegexSplitter splitter = RegexSplitter::compile(R"((?:ab|c)+|\s+)").value();
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "ab";
  std::vector<uint32_t> ends;
  ASSERT_TRUE(splitter.split(text, ends).ok());
  EXPECT_THAT(ends, ElementsAre(40000));
}

}  // namespace
}  // namespace sluice::tokenizer
