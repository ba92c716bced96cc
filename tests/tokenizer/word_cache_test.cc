#include "tokenizer/word_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace sluice::tokenizer {
namespace {

using ::testing::ElementsAre;

TEST(WordCache, FindsWhatWasStored) {
  const WordCache cache;
  std::vector<TokenId> out = {7};
  EXPECT_FALSE(cache.find(WordCache::key_of("word"), out));
  cache.store(WordCache::key_of("word"), std::vector<TokenId>{1, 2, 3});
  EXPECT_TRUE(cache.find(WordCache::key_of("word"), out));
  EXPECT_THAT(out, ElementsAre(7, 1, 2, 3));
  cache.store(WordCache::key_of("word"), std::vector<TokenId>{9});
  EXPECT_TRUE(cache.find(WordCache::key_of("word"), out));
  EXPECT_THAT(out, ElementsAre(7, 1, 2, 3, 9));
}

TEST(WordCache, ZeroBytesAreNotPadding) {
  const WordCache cache;
  std::vector<TokenId> out;
  cache.store(WordCache::key_of("a"), std::vector<TokenId>{1});
  WordCache::Key longer = WordCache::key_of(std::string_view("a\0", 2));
  longer.line = WordCache::key_of("a").line;
  EXPECT_FALSE(cache.find(longer, out));
}

TEST(WordCache, LeavesOutWhatDoesNotFit) {
  const WordCache cache;
  std::vector<TokenId> out;
  const std::string longest(WordCache::kMaxPieceBytes, 'x');
  cache.store(WordCache::key_of(longest), std::vector<TokenId>(WordCache::kMaxIds + 1, 1));
  EXPECT_FALSE(cache.find(WordCache::key_of(longest), out));
  cache.store(WordCache::key_of(longest), std::vector<TokenId>(WordCache::kMaxIds, 1));
  EXPECT_TRUE(cache.find(WordCache::key_of(longest), out));
  EXPECT_EQ(out.size(), WordCache::kMaxIds);
}

// All on one line, so that every store meets the others; a torn entry would mix ids of two words.
TEST(WordCache, ThreadsNeverSeeAMixture) {
  const WordCache cache;
  std::array<WordCache::Key, 5> keys;
  std::array<std::vector<TokenId>, 5> ids;
  for (size_t word = 0; word < keys.size(); ++word) {
    keys[word] = WordCache::key_of(std::string(9, static_cast<char>('a' + word)));
    keys[word].line = 0;
    ids[word].assign(word + 1, static_cast<TokenId>(word));
  }
  std::vector<std::jthread> threads;
  std::array<size_t, 4> mixtures{};
  for (size_t t = 0; t < mixtures.size(); ++t) {
    threads.emplace_back([&, t] {
      std::vector<TokenId> out;
      for (size_t i = 0; i < 1000000; ++i) {
        const size_t word = (i * 7 + t) % keys.size();
        out.clear();
        if (cache.find(keys[word], out) && out != ids[word]) ++mixtures[t];
        if (i % 2 == 0) cache.store(keys[word], ids[word]);
      }
    });
  }
  threads.clear();
  EXPECT_THAT(mixtures, ElementsAre(0, 0, 0, 0));
}

}  // namespace
}  // namespace sluice::tokenizer
