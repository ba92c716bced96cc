#include "tools/distill/bpe/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tools/distill/bpe/piece_counts.h"

namespace sluice::tools::bpe {
namespace {

using Pieces = std::map<std::string, int64_t, std::less<>>;
using testing::ElementsAre;

std::vector<std::string> merged_texts(const Pieces& pieces, const TrainerOptions& options) {
  const auto merges = train(pieces, options);
  auto tokens = token_bytes(merges);
  tokens.erase(tokens.begin(), tokens.begin() + 256);
  return tokens;
}

TEST(Trainer, MostFrequentPairFirst) {
  // ab: 5 + 3, bc: 5, cd: 3 (after ab: cd stays).
  EXPECT_THAT(merged_texts({{"abc", 5}, {"abcd", 3}}, {.merges = 10}),
              ElementsAre("ab", "abc", "abcd"));
}

TEST(Trainer, TiesGoToTheSmallerIds) {
  // Ids follow the byte alphabet: 'a' < 'b' < 'y' < 'z'.
  EXPECT_THAT(merged_texts({{"za", 2}, {"ab", 2}, {"ay", 2}}, {.merges = 3}),
              ElementsAre("ab", "ay", "za"));
}

TEST(Trainer, StopsAtTheLimitAndAtRarePairs) {
  EXPECT_THAT(merged_texts({{"abcd", 9}}, {.merges = 1}), ElementsAre("ab"));
  EXPECT_THAT(merged_texts({{"ab", 3}, {"cd", 2}}, {.merges = 9, .min_frequency = 3}),
              ElementsAre("ab"));
  EXPECT_THAT(merged_texts({}, {.merges = 9}), ElementsAre());
  EXPECT_THAT(merged_texts({{"a", 1000}}, {.merges = 9}), ElementsAre());
}

TEST(Trainer, RepeatedLetters) {
  // "aaaa" has the pair aa three times, and becomes aa aa by merges from the left.
  EXPECT_THAT(merged_texts({{"aaaa", 2}}, {.merges = 9}), ElementsAre("aa", "aaaa"));
}

// The definition, without queues: count all pairs anew before each merge.
std::vector<Merge> plain_train(const Pieces& pieces, const TrainerOptions& options) {
  const auto bytes = token_bytes({});
  std::vector<std::pair<std::vector<int32_t>, int64_t>> words;
  for (const auto& [piece, count] : pieces) {
    std::vector<int32_t> ids;
    for (const char byte : piece) {
      const auto at = std::find(bytes.begin(), bytes.end(), std::string(1, byte));
      ids.push_back(static_cast<int32_t>(at - bytes.begin()));
    }
    words.emplace_back(ids, count);
  }
  std::vector<Merge> merges;
  while (static_cast<int64_t>(merges.size()) < options.merges) {
    std::map<std::pair<int32_t, int32_t>, int64_t> counts;
    for (const auto& [ids, count] : words) {
      for (size_t i = 0; i + 1 < ids.size(); ++i) counts[{ids[i], ids[i + 1]}] += count;
    }
    std::pair<int32_t, int32_t> best;
    int64_t frequency = 0;
    for (const auto& [pair, count] : counts) {
      if (count > frequency) {
        best = pair;
        frequency = count;
      }
    }
    if (frequency < std::max<int64_t>(options.min_frequency, 1)) break;
    const auto id = static_cast<int32_t>(256 + merges.size());
    for (auto& [ids, count] : words) {
      std::vector<int32_t> next;
      for (size_t i = 0; i < ids.size(); ++i) {
        const bool match = i + 1 < ids.size() && ids[i] == best.first && ids[i + 1] == best.second;
        next.push_back(match ? id : ids[i]);
        if (match) ++i;
      }
      ids = next;
    }
    merges.push_back({best.first, best.second});
  }
  return merges;
}

TEST(Trainer, EqualsTheDefinitionOnRandomPieces) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    Pieces pieces;
    for (int i = 0; i < 25; ++i) {
      std::string piece;
      for (size_t length = 1 + random() % 9; length > 0; --length)
        piece += static_cast<char>('a' + random() % 3);
      pieces[piece] = static_cast<int64_t>(1 + random() % 5);
    }
    const TrainerOptions options{.merges = static_cast<int64_t>(random() % 40),
                                 .min_frequency = static_cast<int64_t>(1 + random() % 4)};
    EXPECT_EQ(train(pieces, options), plain_train(pieces, options)) << "round " << round;
  }
}

TEST(PieceCounts, FamilyPiecesWithoutAddedTokens) {
  auto counts = PieceCounts::create();
  ASSERT_TRUE(counts.ok());
  ASSERT_TRUE(counts->add("<|im_start|>user\nWhat is 47?<|im_end|>").ok());
  const Pieces expected = {{"user", 1}, {"\n", 1}, {"What", 1}, {" is", 1},
                           {" ", 1},    {"4", 1},  {"7", 1},    {"?", 1}};
  EXPECT_EQ(counts->counts(), expected);
}

TEST(PieceCounts, NormalForm) {
  auto counts = PieceCounts::create();
  ASSERT_TRUE(counts.ok());
  ASSERT_TRUE(counts->add("e\xCC\x81").ok());  // e and a combining acute accent
  EXPECT_EQ(counts->counts(), (Pieces{{"\xC3\xA9", 1}}));
  const Status bad = counts->add("ab\xFF");
  ASSERT_FALSE(bad.ok());
  EXPECT_THAT(bad.error().message(), testing::HasSubstr("byte 2"));
}

}  // namespace
}  // namespace sluice::tools::bpe
