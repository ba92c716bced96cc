#include "tokenizer/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace sluice::tokenizer {
namespace {

using ::testing::ElementsAre;

std::vector<TokenId> found(const AddedTokenMatcher& matcher, std::string_view text,
                           std::vector<TextRange> literal = {}) {
  std::vector<TokenId> ids;
  size_t next = 0;
  for (size_t from = 0; const auto match = matcher.find(text, from, literal, next);) {
    ids.push_back(match->id);
    from = match->end;
  }
  return ids;
}

const AddedTokenMatcher& matcher() {
  static const AddedTokenMatcher tokens({{1, "<a>", false},
                                         {2, "<a><b>", false},
                                         {3, "<b>", false},
                                         {4, "<ab", false},
                                         {5, "<", false}});
  return tokens;
}

TEST(AddedTokens, LeftmostThenLongest) {
  EXPECT_THAT(found(matcher(), "x<a><b>y"), ElementsAre(2));
  EXPECT_THAT(found(matcher(), "<a><a><b"), ElementsAre(1, 1, 5));
  EXPECT_THAT(found(matcher(), "<<ab><b>"), ElementsAre(5, 4, 3));
  EXPECT_THAT(found(matcher(), "a>b>"), ElementsAre());
  EXPECT_THAT(found(matcher(), ""), ElementsAre());
  EXPECT_THAT(found(AddedTokenMatcher(), "<a>"), ElementsAre());
}

TEST(AddedTokens, NoneTouchesALiteralRange) {
  EXPECT_THAT(found(matcher(), "<a><b>", {{0, 6}}), ElementsAre());
  EXPECT_THAT(found(matcher(), "<a><b>", {{3, 6}}), ElementsAre(1));
  EXPECT_THAT(found(matcher(), "<a><b>", {{4, 5}}),
              ElementsAre(1, 5));  // what fits before the range
  EXPECT_THAT(found(matcher(), "<a><b>", {{0, 1}}), ElementsAre(3));
  EXPECT_THAT(found(matcher(), "<a><b>", {{0, 1}, {2, 3}, {5, 6}}), ElementsAre(5));
  EXPECT_THAT(found(matcher(), "<a><b>", {{0, 0}, {2, 2}, {3, 3}}),
              ElementsAre(2));  // empty: no bytes
  EXPECT_THAT(found(matcher(), "<a><b><a>", {{0, 3}, {3, 6}}), ElementsAre(1));
}

// Against a search of every token at every position.
TEST(AddedTokens, RandomTokensTextsAndRanges) {
  std::mt19937 random(17);
  for (int round = 0; round < 3000; ++round) {
    std::vector<AddedToken> tokens;
    for (size_t i = 0; i < 1 + random() % 8; ++i) {
      std::string content(1 + random() % 4, ' ');
      for (char& c : content) c = "ab\xC3"[random() % 3];
      if (std::none_of(tokens.begin(), tokens.end(),
                       [&](const AddedToken& t) { return t.content == content; })) {
        tokens.push_back({static_cast<TokenId>(i), content, false});
      }
    }
    std::string text(random() % 30, ' ');
    for (char& c : text) c = "ab\xC3"[random() % 3];
    std::vector<TextRange> literal;
    for (size_t at = 0; random() % 3 != 0;) {
      const size_t begin = at + random() % 8, end = begin + random() % 4;
      if (end > text.size()) break;
      literal.push_back({begin, end});
      at = end;
    }
    std::vector<TokenId> expected;
    for (size_t i = 0; i < text.size();) {
      const AddedToken* best = nullptr;
      for (const AddedToken& token : tokens) {
        const size_t end = i + token.content.size();
        const bool touches = std::any_of(literal.begin(), literal.end(), [&](TextRange range) {
          return std::max(range.begin, i) < std::min(range.end, end);
        });
        if (!touches && std::string_view(text).substr(i).starts_with(token.content) &&
            (best == nullptr || token.content.size() > best->content.size())) {
          best = &token;
        }
      }
      if (best != nullptr) expected.push_back(best->id);
      i += best != nullptr ? best->content.size() : 1;
    }
    ASSERT_EQ(found(AddedTokenMatcher(tokens), text, literal), expected) << text;
  }
}

}  // namespace
}  // namespace sluice::tokenizer
