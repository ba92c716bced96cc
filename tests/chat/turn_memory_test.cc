// Answers that come back from clients are found as the tokens that were sampled.
#include "chat/turn_memory.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice::chat {
namespace {

using Tokens = std::vector<tokenizer::TokenId>;

Json message(const std::string& text) { return *parse_json(text); }

const std::string kSent =
    R"({"role": "assistant", "content": "Look.", "reasoning_content": "r1", "tool_calls": [{"id": "call_1",
    "function": {"name": "f", "arguments": "{\"b\": 1.0, \"a\": {\"y\": [1e2, null], \"x\": \"é\"}}"}}]})";

TEST(TurnMemory, FindsWhatClientsMakeOfAnAnswer) {
  TurnMemory memory(1 << 20);
  memory.remember("key", 0, message(kSent), {1, 2, 3});
  for (
      const char* back :
      {R"({"role": "assistant", "content": "Look.\n", "tool_calls": [{"id": "other", "type": "function", "function":
            {"name": "f", "arguments": {"a": {"x": "é", "y": [100, null]}, "b": 1}}}]})",
       R"({"content": [{"type": "text", "text": " Lo"}, {"type": "text", "text": "ok."}], "reasoning": "r1\n", "tool_calls":
            [{"function": {"name": "f", "arguments": "{\"a\":{\"x\":\"\\u00e9\",\"y\":[1e2,null]},\"b\":1}"}}]})"})
    EXPECT_EQ(memory.find("key", 0, message(back)), (Tokens{1, 2, 3})) << back;
  EXPECT_EQ(memory.find("key", 0, message(kSent)), (Tokens{1, 2, 3}));
  EXPECT_EQ(memory.find("another key", 0, message(kSent)), std::nullopt);
}

TEST(TurnMemory, AnyVisibleDifferenceIsAnotherTurn) {
  TurnMemory memory(1 << 20);
  memory.remember("", 0, message(kSent), {1});
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"Look.", "Look"},
                                                        {"r1", "r2"},
                                                        {"\"f\"", "\"g\""},
                                                        {"1.0", "1.5"},
                                                        {"null", "0"},
                                                        {"é", "e"},
                                                        {"[1e2, null]", "[null, 1e2]"}}) {
    std::string changed = kSent;
    changed.replace(changed.find(from), from.size(), to);
    EXPECT_EQ(memory.find("", 0, message(changed)), std::nullopt) << changed;
  }
  EXPECT_EQ(memory.find("", 0, message(R"({"content": "Look."})")), std::nullopt);
  EXPECT_EQ(memory.find("", 0, message("null")), std::nullopt);
}

TEST(TurnMemory, TheLatestOfEqualAnswersUnlessTheThoughtTells) {
  TurnMemory memory(1 << 20);
  memory.remember("", 0, message(R"({"content": "Yes.", "reasoning_content": "a"})"), {1});
  memory.remember("", 0, message(R"({"content": "Yes.", "reasoning_content": "b"})"), {2});
  EXPECT_EQ(memory.find("", 0, message(R"({"content": "Yes."})")), Tokens{2});
  EXPECT_EQ(memory.find("", 0, message(R"({"content": "Yes.", "reasoning": "a"})")), Tokens{1});
  EXPECT_EQ(memory.find("", 0, message(R"({"content": "Yes."})")), Tokens{2});
}

// An agent that says the same twice, in other tokens.
TEST(TurnMemory, OfEqualAnswersTheOneOfThisPlace) {
  TurnMemory memory(1 << 20);
  const Json call = message(R"({"content": "Yes.", "reasoning_content": "a"})");
  const Tokens first = {7}, second = {7, 1, 8};
  memory.remember("", turn_place(first), call, {1});
  memory.remember("", turn_place(second), call, {2});
  EXPECT_EQ(memory.find("", turn_place(first), call), Tokens{1});
  EXPECT_EQ(memory.find("", turn_place(second), call), Tokens{2});
  EXPECT_EQ(memory.find("", turn_place({}), call), Tokens{2});
}

TEST(TurnMemory, ForgetsTheLeastRecentlyUsed) {
  TurnMemory memory(4000);
  const auto turn = [](int i) { return message("{\"content\": \"" + std::to_string(i) + "\"}"); };
  memory.remember("", 0, turn(0), Tokens(200, 0));
  for (int i = 1; i < 50; ++i) {
    memory.remember("", 0, turn(i), Tokens(200, i));
    EXPECT_LE(memory.bytes(), 4000u);
    EXPECT_EQ(memory.find("", 0, turn(0)), Tokens(200, 0)) << i;  // used all the time
  }
  EXPECT_EQ(memory.find("", 0, turn(1)), std::nullopt);
  EXPECT_EQ(memory.find("", 0, turn(49)), Tokens(200, 49));
  memory.remember("", 0, turn(50), Tokens(100'000, 1));  // more than all
  EXPECT_EQ(memory.bytes(), 0u);
}

}  // namespace
}  // namespace sluice::chat
