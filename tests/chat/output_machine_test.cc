// The split of the model's output, on a table of tokens: 0 to 255 are bytes, then the markers.
#include "chat/output_machine.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace sluice::chat {
namespace {

using tokenizer::TokenId;

constexpr TokenId kTurn = 300, kThink = 301, kClose = 302, kStop = 303, kSpecial = 304,
                  kToolCall = 305;

OutputVocabulary table() {
  static const std::array<char, 256> bytes = [] {
    std::array<char, 256> all{};
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i);
    return all;
  }();
  static const std::map<TokenId, std::string> names = {
      {kTurn, "<|im_start|>"}, {kThink, "<think>"},   {kClose, "</think>"},
      {kStop, "<|im_end|>"},   {kSpecial, "<|pad|>"}, {kToolCall, "<tool_call>"}};
  OutputVocabulary vocabulary;
  vocabulary.bytes = [](TokenId id) -> std::string_view {
    if (id < 256) return {&bytes[static_cast<size_t>(id)], 1};
    return names.at(id);
  };
  vocabulary.is_special = [](TokenId id) { return id == kTurn || id == kStop || id == kSpecial; };
  vocabulary.think = {kTurn, kThink, kClose};
  vocabulary.stop = {kStop};
  return vocabulary;
}

using Ids = std::vector<TokenId>;

// "ab" as byte tokens, ids as they are.
Ids ids(std::initializer_list<std::pair<const char*, TokenId>> parts) {
  Ids all;
  for (const auto& [text, id] : parts) {
    for (const char* c = text; *c; ++c) all.push_back(static_cast<unsigned char>(*c));
    if (id >= 0) all.push_back(id);
  }
  return all;
}

struct Split {
  std::string reasoning, content;
  bool ended = false;
  friend bool operator==(const Split&, const Split&) = default;
};

void collect(const std::vector<OutputEvent>& events, Split& split) {
  for (const OutputEvent& event : events) {
    EXPECT_FALSE(split.ended) << "an event after the end";
    if (event.kind == OutputEvent::Kind::kReasoning) split.reasoning += event.text;
    if (event.kind == OutputEvent::Kind::kContent) split.content += event.text;
    if (event.kind == OutputEvent::Kind::kEnd) split.ended = true;
    EXPECT_EQ(event.text.empty(), event.kind == OutputEvent::Kind::kEnd);
  }
}

Split run(const Ids& input, bool in_reasoning) {
  OutputMachine machine(table(), {.starts_in_reasoning = in_reasoning});
  Split split;
  collect(machine.push(input), split);
  collect(machine.finish(OutputEnd::kStopped), split);
  EXPECT_TRUE(split.ended);
  EXPECT_TRUE(machine.ended());
  EXPECT_TRUE(machine.push(input).empty());
  EXPECT_TRUE(machine.finish(OutputEnd::kStopped).empty());
  return split;
}

Split expected(std::string reasoning, std::string content) {
  return {std::move(reasoning), std::move(content), true};
}

TEST(OutputMachine, ThoughtThenAnswer) {
  EXPECT_EQ(run(ids({{"\nSo it is.\n", kClose}, {"\n\nYes.\n", kStop}}), true),
            expected("So it is.", "Yes.\n"));
  EXPECT_EQ(run(ids({{"Yes.", kStop}, {"ignored", -1}}), false), expected("", "Yes."));
}

TEST(OutputMachine, WhiteSpace) {
  EXPECT_EQ(run(ids({{"\n\n  a \n\n b \t\n", kClose}, {" \n\t a b \n", -1}}), true),
            expected("  a \n\n b", "a b \n"));
  EXPECT_EQ(run(ids({{" \n ", kClose}, {" \n ", -1}}), true), expected("", ""));
  EXPECT_EQ(run(ids({{"\xE3\x80\x80x\xC2\xA0", kClose}, {"\xE3\x80\x80y", -1}}), true),
            expected("\xE3\x80\x80x", "y"));
}

TEST(OutputMachine, MarkersByStateNotByText) {
  EXPECT_EQ(run(ids({{"", kThink}, {"a", kThink}, {"b", kClose}, {"c", kClose}, {"d", -1}}), true),
            expected("ab", "cd"));
  // Spelled by ordinary tokens it is text.
  EXPECT_EQ(run(ids({{"a</think>b", kClose}, {"<think>c", -1}}), true),
            expected("a</think>b", "<think>c"));
  EXPECT_EQ(run(ids({{"x", kSpecial}, {"y", kTurn}, {"z", -1}}), false), expected("", "xyz"));
  EXPECT_EQ(run(ids({{"x", kToolCall}, {"y", -1}}), false), expected("", "x<tool_call>y"));
  EXPECT_EQ(run(ids({{"x", kToolCall}, {"y", kClose}}), true), expected("x<tool_call>y", ""));
}

TEST(OutputMachine, AnOpenerFirstInContentBeginsAThought) {
  EXPECT_EQ(run(ids({{" \n", kThink}, {"\na\n", kClose}, {"\nb", -1}}), false), expected("a", "b"));
  EXPECT_EQ(run(ids({{"x", kThink}, {"a", -1}}), false), expected("", "x<think>a"));
  EXPECT_EQ(run(ids({{"", kThink}, {"a", kClose}, {"\n\n", kThink}, {"b", -1}}), false),
            expected("a", "<think>b"));
  EXPECT_EQ(run(ids({{"a", kClose}, {"\n\n", kThink}, {"b", -1}}), true),
            expected("a", "<think>b"));
  EXPECT_EQ(run(ids({{"", kClose}, {"b", -1}}), false), expected("", "b"));
}

TEST(OutputMachine, WithoutACloserEverythingIsReasoning) {
  EXPECT_EQ(run(ids({{"\na b\n", kStop}}), true), expected("a b", ""));
  EXPECT_EQ(run(ids({{"a", -1}}), true), expected("a", ""));
}

TEST(OutputMachine, NeverHalfACharacter) {
  OutputMachine machine(table(), {});
  const std::string smile = "\xF0\x9F\x99\x82";
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(machine.push(Ids{static_cast<unsigned char>(smile[i])}).empty());
  }
  const auto events = machine.push(Ids{static_cast<unsigned char>(smile[3])});
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0], (OutputEvent{OutputEvent::Kind::kContent, smile}));
  // What stays unfinished is one replacement character, at the end of either channel.
  EXPECT_EQ(run(ids({{"a\xF0\x9F", kClose}, {"b\xE3\x81", -1}}), true),
            expected("a\xEF\xBF\xBD", "b\xEF\xBF\xBD"));
  EXPECT_EQ(run(ids({{"\xE3"
                      "a\xFF",
                      -1}}),
                false),
            expected("",
                     "\xEF\xBF\xBD"
                     "a\xEF\xBF\xBD"));
}

TEST(OutputMachine, CountsReasoningTokens) {
  OutputMachine machine(table(), {.starts_in_reasoning = true});
  machine.push(ids({{"\nab\n", kClose}, {"cd", -1}}));
  EXPECT_EQ(machine.reasoning_tokens(), 5);
  OutputMachine late(table(), {});
  late.push(ids({{"\n", kThink}, {"ab", kClose}, {"cd", -1}}));
  EXPECT_EQ(late.reasoning_tokens(), 4);
  EXPECT_FALSE(late.in_reasoning());
}

// The same events, token by token, whatever the pieces; and no character of them is lost.
TEST(OutputMachine, AnyChunkingGivesTheSameEvents) {
  std::mt19937 random(7);
  const Ids alphabet = {'a',  'b',  ' ',  '\n',   0xC3,   0xA9,     0xE3,      0x81, 0x82,
                        0xF0, 0x9F, 0xFF, kThink, kClose, kSpecial, kToolCall, kStop};
  for (int round = 0; round < 3000; ++round) {
    Ids input;
    const auto length = random() % 40;
    for (size_t i = 0; i < length; ++i) {
      const size_t pick = random() % 60;
      input.push_back(alphabet[pick < alphabet.size() ? pick : pick % 6]);
    }
    const bool in_reasoning = random() % 2 == 0;
    OutputMachine whole(table(), {.starts_in_reasoning = in_reasoning}),
        pieces(table(), {.starts_in_reasoning = in_reasoning});
    std::vector<OutputEvent> expected_events = whole.push(input), events;
    for (size_t at = 0; at < input.size();) {
      const size_t size = std::min<size_t>(input.size() - at, 1 + random() % 5);
      for (auto& event : pieces.push(std::span(input).subspan(at, size))) events.push_back(event);
      at += size;
    }
    for (auto& event : whole.finish(OutputEnd::kStopped)) expected_events.push_back(event);
    for (auto& event : pieces.finish(OutputEnd::kStopped)) events.push_back(event);
    ASSERT_EQ(events, expected_events);
    ASSERT_EQ(whole.reasoning_tokens(), pieces.reasoning_tokens());
    Split split;
    collect(events, split);
    ASSERT_TRUE(split.ended);
    ASSERT_EQ(split.reasoning.find_last_not_of(" \n") + 1, split.reasoning.size());
    ASSERT_NE(split.content.find_first_not_of(" \n"),
              split.content.empty() ? 0 : std::string::npos);
  }
}

TEST(OpenThought, LastMarkerOfTheLastTurnDecides) {
  const ThinkMarkers markers{kTurn, kThink, kClose};
  const auto open = [&](const Ids& prompt) { return open_thought(prompt, markers); };
  EXPECT_EQ(open({}), std::nullopt);
  EXPECT_EQ(open({kTurn, 1, kThink, 2}), 1u);
  EXPECT_EQ(open({kTurn, 1, kThink}), 0u);
  EXPECT_EQ(open({kTurn, kThink, 1, kClose, 2}), std::nullopt);
  EXPECT_EQ(open({kThink, 1, kTurn, 2}), std::nullopt);
  EXPECT_EQ(open({kThink, kClose, kThink, 1, 2, 3}), 3u);
  EXPECT_EQ(open_thought(Ids{1, 2, 3}, ThinkMarkers{}), std::nullopt);
}

}  // namespace
}  // namespace sluice::chat
