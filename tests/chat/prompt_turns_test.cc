// Turns of an encoded prompt: where they end, and how a sampled one takes its place again.
#include "chat/prompt_turns.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "base/file.h"
#include "support/paths.h"

namespace sluice::chat {
namespace {

using Ids = std::vector<tokenizer::TokenId>;

const tokenizer::Tokenizer& tiny() {
  static const tokenizer::Tokenizer tokenizer = [] {
    auto text = read_file(test::tests_folder() / "model/data/tiny/tokenizer.json", 1 << 24);
    if (!text.ok()) throw std::runtime_error(text.error().message());
    auto made = tokenizer::Tokenizer::from_json(*text, nullptr);
    if (!made.ok()) throw std::runtime_error(made.error().message());
    return std::move(*made);
  }();
  return tokenizer;
}

Ids encode(const std::string& text) { return *tiny().encode(text, {.recognise_added = true}); }
const TurnMarkers& markers() {
  static const TurnMarkers made = TurnMarkers::of(tiny());
  return made;
}
Json json(const std::string& text) { return *parse_json(text); }
size_t length(const std::string& text) { return encode(text).size(); }

const std::string kUser = "<|im_start|>user\nhello<|im_end|>\n";
const std::string kOpen = "<|im_start|>assistant\n<think>\n";

TEST(PromptTurns, BordersStandBehindMessagesAndResults) {
  const std::string results =
      "<|im_start|>user\n<tool_response>\n1\n</tool_response>\n"
      "<tool_response>\n2\n</tool_response><|im_end|>\n";
  const Ids prompt = encode(kUser + results + kOpen);
  const auto at = [](const std::string& text) { return static_cast<int64_t>(length(text)); };
  EXPECT_EQ(
      message_borders(prompt, markers()),
      (std::vector<int64_t>{at("<|im_start|>user\nhello<|im_end|>"),
                            at(kUser + "<|im_start|>user\n<tool_response>\n1\n</tool_response>"),
                            at(kUser + results.substr(0, results.rfind("<|im_end|>"))),
                            at(kUser + results.substr(0, results.size() - 1))}));
  EXPECT_TRUE(message_borders(encode("no turn at all"), markers()).empty());
}

TEST(PromptTurns, TheOpenTurnIsTheAnswersBeginning) {
  EXPECT_EQ(open_turn(encode(kUser + kOpen), markers()).tokens, encode(kOpen));
  EXPECT_TRUE(open_turn(encode(kUser), markers()).tokens.empty());
  EXPECT_TRUE(open_turn(encode("<|im_start|>assistant\nyes<|im_end|>"), markers()).tokens.empty());
  EXPECT_TRUE(open_turn(encode("text"), markers()).tokens.empty());
}

class Replay : public testing::Test {
 protected:
  Replay() {
    memory.remember("me", 0, json(R"({"content": "yes", "reasoning_content": "hm"})"), sampled);
    memory.remember("me", 0, json(R"({"content": "plain"})"), unthought);
  }
  Ids replayed(const std::string& prompt, const std::string& messages, bool open = false,
               std::string_view scope = "me") {
    return replay_turns(encode(prompt), json(messages), open, scope, memory, markers());
  }
  const Ids sampled = encode(kOpen + "hm \n</think>\n\nyes<|im_end|>");
  const Ids unthought = encode("<|im_start|>assistant\n pl ain<|im_end|>");
  TurnMemory memory{1 << 20};
};

TEST_F(Replay, ATurnIsWrittenAsItWasSampled) {
  const std::string rendered = "<|im_start|>assistant\n<think>\nhm\n</think>\n\nyes<|im_end|>";
  const std::string messages =
      R"([{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"},
          {"role": "user", "content": "hello"}])";
  const Ids expected = [&] {
    Ids ids = encode(kUser);
    ids.insert(ids.end(), sampled.begin(), sampled.end());
    const Ids rest = encode("\n" + kUser + kOpen);
    ids.insert(ids.end(), rest.begin(), rest.end());
    return ids;
  }();
  const std::string prompt = kUser + rendered + "\n" + kUser + kOpen;
  EXPECT_NE(encode(prompt), expected);
  EXPECT_EQ(replayed(prompt, messages), expected);
  EXPECT_EQ(replayed(prompt, messages, false, "you"), encode(prompt));
  // An empty thought is a place for the one that the client left out.
  const std::string empty =
      kUser + "<|im_start|>assistant\n<think>\n\n</think>\n\nyes<|im_end|>\n" + kUser + kOpen;
  EXPECT_EQ(replayed(empty, messages), expected);
}

TEST_F(Replay, EqualTurnsOfOneConversationKeepTheirOwnTokens) {
  const std::string rendered = "<|im_start|>assistant\nyes<|im_end|>";
  const Ids first = encode("<|im_start|>assistant\ny es<|im_end|>");
  const Ids second = encode("<|im_start|>assistant\nye s<|im_end|>");
  Ids expected = encode(kUser);
  memory.remember("me", turn_place(expected), json(R"({"content": "yes"})"), first);
  expected.insert(expected.end(), first.begin(), first.end());
  const Ids between = encode("\n" + kUser);
  expected.insert(expected.end(), between.begin(), between.end());
  memory.remember("me", turn_place(expected), json(R"({"content": "yes"})"), second);
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(
      replayed(kUser + rendered + "\n" + kUser + rendered,
               R"([{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"},
                         {"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"}])"),
      expected);
}

TEST_F(Replay, AThoughtThatTheTemplateLeavesOutStaysOut) {
  const std::string prompt = kUser + "<|im_start|>assistant\nyes<|im_end|>\n" + kUser + kOpen;
  const std::string messages =
      R"([{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"},
          {"role": "user", "content": "hello"}])";
  EXPECT_EQ(replayed(prompt, messages), encode(prompt));
}

TEST_F(Replay, NothingIsChangedWhenTurnsAndMessagesDisagree) {
  const std::string turn = "<|im_start|>assistant\nplain<|im_end|>";
  const std::string one = R"({"role": "assistant", "content": "plain"})";
  EXPECT_EQ(replayed(turn, "[" + one + "]"), unthought);
  EXPECT_EQ(replayed(turn, "[" + one + "," + one + "]"), encode(turn));
  EXPECT_EQ(replayed(turn, "[]"), encode(turn));
  // The last message is being continued: its turn is open and stays as it is.
  const std::string continued = turn + "\n<|im_start|>assistant\nplai";
  Ids expected = unthought;
  const Ids rest = encode("\n<|im_start|>assistant\nplai");
  expected.insert(expected.end(), rest.begin(), rest.end());
  EXPECT_EQ(replayed(continued, "[" + one + "," + one + "]", true), expected);
}

}  // namespace
}  // namespace sluice::chat
