// Events to bytes on /v1/messages: the grammar of blocks as an automaton.
#include <gtest/gtest.h>

#include <array>
#include <map>

#include "server/anthropic/messages_encoder.h"

namespace sluice::server::anthropic {
namespace {

using Kind = AnswerEvent::Kind;

AnswerEvent finish_event(Finish::Cause cause, int calls = 0) {
  AnswerEvent event{Kind::kFinish, {}};
  event.finish.emplace();
  event.finish->cause = cause;
  event.finish->calls = calls;
  event.finish->completion_tokens = 7;
  event.finish->reasoning_tokens = 3;
  event.finish->report.prompt_tokens = 20;
  event.finish->report.cached_tokens = 15;
  if (cause == Finish::Cause::kStopString) event.finish->stop_string = "END";
  return event;
}

// What a client makes of a stream that obeys the grammar.
struct Reader {
  Json::Array blocks;
  Json delta, usage;
  bool open = false, started = false, stopped = false;

  void read(const std::string& text) {
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = text.find("\n\n", begin);
      ASSERT_NE(end, std::string::npos);
      const std::string event = text.substr(begin, end - begin);
      begin = end + 2;
      const size_t line = event.find('\n');
      ASSERT_EQ(event.rfind("event: ", 0), 0u) << event;
      ASSERT_EQ(event.compare(line + 1, 6, "data: "), 0) << event;
      const Json data = *parse_json(event.substr(line + 7));
      ASSERT_EQ(data.find("type")->string(), event.substr(7, line - 7));
      take(data);
    }
  }

  void take(const Json& data) {
    const std::string& type = data.find("type")->string();
    ASSERT_FALSE(stopped) << type;
    if (type == "ping") return;
    ASSERT_EQ(started, type != "message_start");
    if (type == "message_start") {
      started = true;
    } else if (type == "content_block_start") {
      ASSERT_FALSE(open);
      ASSERT_EQ(data.find("index")->as_int64(), static_cast<int64_t>(blocks.size()));
      blocks.push_back(*data.find("content_block"));
      open = true;
    } else if (type == "content_block_delta") {
      ASSERT_TRUE(open);
      ASSERT_EQ(data.find("index")->as_int64(), static_cast<int64_t>(blocks.size()) - 1);
      add(*data.find("delta"));
    } else if (type == "content_block_stop") {
      ASSERT_TRUE(open);
      open = false;
    } else if (type == "message_delta") {
      ASSERT_FALSE(open);
      delta = *data.find("delta");
      usage = *data.find("usage");
    } else {
      ASSERT_EQ(type, "message_stop");
      ASSERT_FALSE(delta.is_null());
      stopped = true;
    }
  }

  void add(const Json& change) {
    static const std::map<std::string, std::array<const char*, 3>> kFields = {
        {"thinking_delta", {"thinking", "thinking", "thinking"}},
        {"signature_delta", {"thinking", "signature", "signature"}},
        {"text_delta", {"text", "text", "text"}},
        {"input_json_delta", {"tool_use", "partial_json", "partial"}}};
    const auto& [kind, from, to] = kFields.at(change.find("type")->string());
    Json& block = blocks.back();
    ASSERT_EQ(block.find("type")->string(), kind);
    const Json* known = block.find(to);
    const std::string before = known != nullptr ? known->string() : "";
    block.set(to, before + change.find(from)->string());
  }
};

MessagesEncoder encoder(bool omitted = false) {
  MessagesEncoderOptions options;
  options.thinking_omitted = omitted;
  options.ids = [n = 0](std::string_view prefix) mutable {
    return std::string(prefix) + std::to_string(n++);
  };
  return MessagesEncoder({"1", 1, "claude-x", 20, 1, {}}, options);
}

Reader stream(MessagesEncoder made, const std::vector<AnswerEvent>& events) {
  Reader reader;
  reader.read(made.begin());
  reader.read(made.started(5));
  for (const AnswerEvent& event : events) reader.read(made.event(0, event));
  reader.read(made.keep_alive(15));
  reader.read(made.end());
  EXPECT_TRUE(reader.stopped);
  return reader;
}

std::vector<AnswerEvent> two_calls() {
  return {{Kind::kReasoning, "a"},
          {Kind::kReasoning, "b"},
          {Kind::kContent, "Look"},
          {Kind::kContent, "."},
          {Kind::kToolStart, "f", 0},
          {Kind::kToolArguments, "{", 0},
          {Kind::kToolArguments, "\"x\": 1}", 0},
          {Kind::kToolEnd, {}, 0},
          {Kind::kToolStart, "g", 1},
          {Kind::kToolArguments, "{}", 1},
          {Kind::kToolEnd, {}, 1},
          finish_event(Finish::Cause::kEndOfTurn, 2)};
}

TEST(MessagesEncoder, BlocksOneAfterTheOther) {
  const Reader reader = stream(encoder(), two_calls());
  ASSERT_EQ(reader.blocks.size(), 4u);
  EXPECT_EQ(reader.blocks[0].find("thinking")->string(), "ab");
  EXPECT_FALSE(reader.blocks[0].find("signature")->string().empty());
  EXPECT_EQ(reader.blocks[1].find("text")->string(), "Look.");
  EXPECT_EQ(reader.blocks[2].find("partial")->string(), "{\"x\": 1}");
  EXPECT_EQ(reader.blocks[2].find("id")->string(), "toolu_0");
  EXPECT_EQ(reader.blocks[3].find("name")->string(), "g");
  EXPECT_EQ(reader.delta.dump(), R"({"stop_reason":"tool_use","stop_sequence":null})");
  EXPECT_EQ(
      reader.usage.dump(),
      R"({"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":15,"output_tokens":7,"output_tokens_details":{"thinking_tokens":3}})");
}

TEST(MessagesEncoder, WholeIsTheSumOfTheEvents) {
  WholeChoice choice;
  for (const AnswerEvent& event : two_calls()) choice.add(event);
  const Json body = encoder().whole({choice});
  const Reader reader = stream(encoder(), two_calls());
  const auto& content = body.find("content")->items();
  ASSERT_EQ(content.size(), reader.blocks.size());
  EXPECT_EQ(content[0], reader.blocks[0]);
  EXPECT_EQ(content[1], reader.blocks[1]);
  EXPECT_EQ(content[2].find("input")->dump(), R"({"x":1})");
  EXPECT_EQ(*body.find("stop_reason"), *reader.delta.find("stop_reason"));
  EXPECT_EQ(*body.find("usage"), reader.usage);
}

TEST(MessagesEncoder, NothingSaidIsAnEmptyText) {
  for (const bool thought : {false, true}) {
    std::vector<AnswerEvent> events = {finish_event(Finish::Cause::kLength)};
    if (thought) events.insert(events.begin(), {Kind::kReasoning, "hm"});
    const Reader reader = stream(encoder(), events);
    EXPECT_EQ(reader.blocks.back().dump(), R"({"type":"text","text":""})");
    EXPECT_EQ(reader.delta.find("stop_reason")->string(), "max_tokens");
  }
}

TEST(MessagesEncoder, OmittedThoughtsKeepTheirSignature) {
  const std::vector<AnswerEvent> events = {
      {Kind::kReasoning, "hm"}, {Kind::kContent, "a"}, finish_event(Finish::Cause::kStopString)};
  const Reader reader = stream(encoder(true), events);
  EXPECT_EQ(reader.blocks[0].find("thinking")->string(), "");
  EXPECT_FALSE(reader.blocks[0].find("signature")->string().empty());
  EXPECT_EQ(reader.delta.dump(), R"({"stop_reason":"stop_sequence","stop_sequence":"END"})");
}

TEST(MessagesEncoder, ACutCallIsClosed) {
  const std::vector<AnswerEvent> events = {{Kind::kToolStart, "f", 0},
                                           {Kind::kToolArguments, "{\"a\": \"x", 0},
                                           finish_event(Finish::Cause::kContextFull, 1)};
  const Reader reader = stream(encoder(), events);
  EXPECT_EQ(reader.delta.find("stop_reason")->string(), "model_context_window_exceeded");
}

TEST(MessagesEncoder, Failure) {
  ApiError error;
  error.message = "lost";
  EXPECT_EQ(encoder().failure(error),
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":"
            "\"lost\"},\"request_id\":\"req_1\"}\n\n");
}

}  // namespace
}  // namespace sluice::server::anthropic
