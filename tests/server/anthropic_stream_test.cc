// The reader of streams refuses what the grammar does not allow: otherwise no stream that it takes
// would mean anything.
#include "server/anthropic_stream.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace sluice::test {
namespace {

// Events as their data; each has its type.
std::string stream_of(const std::vector<std::string>& events) {
  std::string stream;
  for (const std::string& data : events) {
    const Json parsed = *parse_json(data);
    stream += "event: " + parsed.find("type")->string() + "\ndata: " + data + "\n\n";
  }
  return stream;
}

std::vector<std::string> good_events() {
  return {
      R"({"type":"message_start","message":{"id":"msg_1","content":[],"stop_reason":null,"usage":{"input_tokens":9}}})",
      R"({"type":"ping"})",
      R"({"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}})",
      R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}})",
      R"({"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}})",
      R"({"type":"content_block_stop","index":0})",
      R"({"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}})",
      R"({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\": ["}})",
      R"({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1]}"}})",
      R"({"type":"content_block_stop","index":1})",
      R"({"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":4}})",
      R"({"type":"message_stop"})",
  };
}

TEST(AnthropicStream, AGoodOneIsItsMessage) {
  const Json message = read_anthropic_stream(stream_of(good_events()));
  ASSERT_EQ(message.find("content")->items().size(), 2u);
  EXPECT_EQ(message.find("content")->items()[0].find("thinking")->string(), "hm");
  EXPECT_EQ(message.find("content")->items()[1].find("input")->dump(), R"({"a":[1]})");
  EXPECT_EQ(message.find("stop_reason")->string(), "tool_use");
  EXPECT_EQ(message.find("usage")->dump(), R"({"input_tokens":9,"output_tokens":4})");
}

TEST(AnthropicStream, NoEventMayBeMissingOrComeTwice) {
  const auto good = good_events();
  for (size_t i = 0; i < good.size(); ++i) {
    // A ping, a piece of a thought and a piece of arguments that is whole without it may.
    const bool optional = i == 1 || i == 3;
    auto missing = good;
    missing.erase(missing.begin() + static_cast<ptrdiff_t>(i));
    if (!optional) {
      EXPECT_THROW(read_anthropic_stream(stream_of(missing)), std::runtime_error) << good[i];
      auto twice = good;
      twice.insert(twice.begin() + static_cast<ptrdiff_t>(i), good[i]);
      EXPECT_THROW(read_anthropic_stream(stream_of(twice)), std::runtime_error) << good[i];
    }
  }
}

TEST(AnthropicStream, EventsKeepTheirOrderAndTheirKind) {
  const auto good = good_events();
  for (size_t i = 0; i + 1 < good.size(); ++i) {
    auto swapped = good;
    std::swap(swapped[i], swapped[i + 1]);
    const bool free = i == 1;  // a ping goes anywhere behind the start
    if (!free) {
      EXPECT_THROW(read_anthropic_stream(stream_of(swapped)), std::runtime_error) << good[i];
    }
  }
  auto other = good;
  other[3] = R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}})";
  EXPECT_THROW(read_anthropic_stream(stream_of(other)), std::runtime_error);
  other = good;
  other[10] =
      R"({"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":4}})";
  EXPECT_THROW(read_anthropic_stream(stream_of(other)), std::runtime_error);
}

TEST(AnthropicStream, TheStartTellsWhatTheEndTells) {
  auto events = good_events();
  const auto with = [&](int told) {
    events[10] =
        R"({"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":4,"input_tokens":)" +
        std::to_string(told) + "}}";
    return stream_of(events);
  };
  EXPECT_NO_THROW(read_anthropic_stream(with(9)));
  EXPECT_THROW(read_anthropic_stream(with(8)), std::runtime_error);
}

TEST(AnthropicStream, AnEventHasBothLines) {
  for (const char* stream : {"data: {\"type\":\"ping\"}\n\n", "event: ping\n\n",
                             "event: ping\ndata: {\"type\":\"pong\"}\n\n",
                             "event: ping\ndata: {\n\n", "event: ping\ndata: {}"})
    EXPECT_THROW(read_anthropic_stream(stream), std::runtime_error) << stream;
}

}  // namespace
}  // namespace sluice::test
