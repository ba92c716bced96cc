#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"
#include "tokenizer/small_tokenizer.h"

namespace sluice::tokenizer {
namespace {

TokenId id_of_byte(const Tokenizer& tokenizer, uint8_t byte) {
  for (TokenId id = 0; id < 256; ++id) {
    if (tokenizer.bytes(id) == std::string_view(reinterpret_cast<const char*>(&byte), 1)) return id;
  }
  ADD_FAILURE() << "no token for byte " << int{byte};
  return -1;
}

TEST(StreamDecoder, HoldsACharacterUntilItIsWhole) {
  const Tokenizer tokenizer = test::small_tokenizer();
  StreamDecoder decoder(tokenizer, false);
  const auto push = [&](uint8_t byte) { return decoder.push(id_of_byte(tokenizer, byte)); };
  EXPECT_EQ(push(0xF0), "");
  EXPECT_EQ(push(0x9F), "");
  EXPECT_EQ(push(0x8E), "");
  EXPECT_EQ(push(0x89), "\U0001F389");
  EXPECT_EQ(push('x'), "x");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, ReplacesWhatCanNeverBeWholeAsSoonAsThatIsKnown) {
  const Tokenizer tokenizer = test::small_tokenizer();
  StreamDecoder decoder(tokenizer, false);
  const auto push = [&](uint8_t byte) { return decoder.push(id_of_byte(tokenizer, byte)); };
  EXPECT_EQ(push(0x80), "\uFFFD");
  EXPECT_EQ(push(0xFF), "\uFFFD");
  EXPECT_EQ(push(0xC0), "\uFFFD");
  EXPECT_EQ(push(0xE0), "");
  EXPECT_EQ(push(0x80), "\uFFFD\uFFFD");  // E0 80 is overlong: two ill-formed parts
  EXPECT_EQ(push(0xE4), "");
  EXPECT_EQ(push(0xBD), "");
  EXPECT_EQ(push('a'), "\uFFFDa");
  EXPECT_EQ(push(0xF1), "");
  EXPECT_EQ(push(0x80), "");
  EXPECT_EQ(push(0x80), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoder, AnAddedTokenEndsAnUnfinishedCharacter) {
  const Tokenizer tokenizer = test::small_tokenizer();
  StreamDecoder decoder(tokenizer, true);
  EXPECT_EQ(decoder.push(id_of_byte(tokenizer, 0xE4)), "");
  EXPECT_EQ(decoder.push(*tokenizer.find_added("<|im_end|>")), "");  // special, skipped
  EXPECT_EQ(decoder.push(*tokenizer.find_added("<think>")), "\uFFFD<think>");
}

TEST(StreamDecoder, PushesJoinToTheWholeDecoding) {
  const Tokenizer tokenizer = test::small_tokenizer();
  std::mt19937 random(23);
  for (int round = 0; round < 3000; ++round) {
    std::vector<TokenId> ids(random() % 20);
    for (TokenId& id : ids) {
      // Mostly lead and continuation bytes; ids without a token are among the others.
      id = random() % 4 == 0 ? static_cast<TokenId>(random() % 430)
                             : id_of_byte(tokenizer, static_cast<uint8_t>(0x80 + random() % 0x80));
    }
    for (const bool skip_special : {false, true}) {
      StreamDecoder decoder(tokenizer, skip_special);
      std::string text;
      size_t bytes = 0;
      for (const TokenId id : ids) {
        const std::string part = decoder.push(id);
        ASSERT_FALSE(find_invalid_utf8(part));
        text += part;
        if (!skip_special || !tokenizer.is_special(id)) bytes += tokenizer.bytes(id).size();
      }
      text += decoder.finish();
      ASSERT_EQ(text, tokenizer.decode(ids, skip_special));
      ASSERT_TRUE(bytes > 0 || text.empty());
    }
  }
}

}  // namespace
}  // namespace sluice::tokenizer
