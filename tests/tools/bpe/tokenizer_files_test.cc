#include "tools/distill/bpe/tokenizer_files.h"

#include <gtest/gtest.h>

#include "support/paths.h"
#include "support/zstd_file.h"
#include "tokenizer/tokenizer.h"
#include "tools/distill/bpe/family_tokens.h"
#include "tools/distill/bpe/piece_counts.h"

namespace sluice::tools::bpe {
namespace {

constexpr const char* kText =
    "The quick fox sees the lazy dog. The dog sleeps, the fox 12345 runs.\n\nThe end.";

std::vector<Merge> small_merges() {
  auto counts = PieceCounts::create();
  EXPECT_TRUE(counts.ok() && counts->add(kText).ok());
  return train(counts->counts(), {.merges = 30, .min_frequency = 1});
}

TEST(TokenizerFiles, OurTokenizerReadsThem) {
  const auto merges = small_merges();
  ASSERT_EQ(merges.size(), 30u);
  const Json config = tokenizer_config(merges, 4096);
  const auto tokenizer = tokenizer::Tokenizer::from_json(tokenizer_json(merges).dump(), &config);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message();
  EXPECT_EQ(tokenizer->size(),
            static_cast<int64_t>(256 + merges.size() + std::size(kFamilyTokens)));
  const auto ids = tokenizer->encode(kText);
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ(tokenizer->decode(*ids, false), kText);
  EXPECT_LT(ids->size(), std::string(kText).size() - 20);
  // The added tokens follow the merged ones, in the family's order.
  auto id = static_cast<tokenizer::TokenId>(256 + merges.size());
  for (const FamilyToken& token : kFamilyTokens) {
    EXPECT_EQ(tokenizer->find_added(token.content), id) << token.content;
    EXPECT_EQ(tokenizer->is_special(id), token.special) << token.content;
    ++id;
  }
}

TEST(TokenizerFiles, DigitsStayApart) {
  auto counts = PieceCounts::create();
  ASSERT_TRUE(counts.ok());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(counts->add("1212 1212 abab").ok());
  for (const std::string& token :
       token_bytes(train(counts->counts(), {.merges = 100, .min_frequency = 1}))) {
    const bool has_digit = token.find_first_of("0123456789") != std::string::npos;
    EXPECT_TRUE(token.size() == 1 || !has_digit) << token;
  }
}

// Order, contents and flags are those of the published tokenizer.
TEST(TokenizerFiles, AddedTokensAreTheFamilys) {
  SLUICE_REQUIRE_SHARED(path, "data/qwen35-tokenizer/tokenizer.json.zst");
  const auto published = parse_json(test::read_zstd(path));
  ASSERT_TRUE(published.ok());
  const auto& added = published->find("added_tokens")->items();
  ASSERT_EQ(added.size(), std::size(kFamilyTokens));
  const Json ours = tokenizer_json(small_merges());
  const auto& our_added = ours.find("added_tokens")->items();
  for (size_t i = 0; i < added.size(); ++i) {
    Json expected = added[i];
    expected.set("id", *our_added[i].find("id"));
    for (const auto& [key, value] : expected.members())
      EXPECT_EQ(*our_added[i].find(key), value) << i << " " << key;
  }
  for (const char* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder"})
    EXPECT_EQ(*ours.find(part), *published->find(part)) << part;
}

}  // namespace
}  // namespace sluice::tools::bpe
