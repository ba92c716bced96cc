// Events to bytes on OpenAI's routes: the order of chunks, and streams equal to whole answers.
#include <gtest/gtest.h>

#include <limits>

#include "server/model_fixture.h"
#include "server/openai/chat_encoder.h"
#include "server/openai/completions_encoder.h"

namespace sluice::server::openai {
namespace {

using Kind = AnswerEvent::Kind;

AnswerEvent finish_event(Finish::Cause cause, int calls = 0) {
  AnswerEvent event{Kind::kFinish, {}};
  event.finish.emplace();
  event.finish->cause = cause;
  event.finish->calls = calls;
  event.finish->completion_tokens = 31;
  event.finish->reasoning_tokens = 12;
  event.finish->report.prompt_tokens = 9;
  event.finish->report.cached_tokens = 4;
  return event;
}

std::vector<AnswerEvent> thinking_text_and_call() {
  return {{Kind::kReasoning, "Need"},
          {Kind::kContent, "Let me "},
          {Kind::kContent, "look."},
          {Kind::kToolStart, "f", 0},
          {Kind::kToolArguments, "{\"city\": \"K\xC3\xB6", 0},
          {Kind::kToolArguments, "ln\"}", 0},
          {Kind::kToolEnd, {}, 0},
          finish_event(Finish::Cause::kEndOfTurn, 1)};
}

AnswerStart start(int64_t choices = 1) { return {"1", 1, "m", 9, choices, {}}; }

ChatEncoderOptions options() {
  ChatEncoderOptions made;
  made.stream.include_usage = true;
  made.ids = [n = 0](std::string_view prefix) mutable {
    return std::string(prefix) + std::to_string(n++);
  };
  return made;
}

// The data of each event; the text must be nothing else.
std::vector<std::string> events_of(const std::string& text) {
  std::vector<std::string> events;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find("\n\n", begin);
    EXPECT_NE(end, std::string::npos);
    EXPECT_EQ(text.compare(begin, 6, "data: "), 0) << text.substr(begin, 40);
    events.push_back(text.substr(begin + 6, end - begin - 6));
    begin = end + 2;
  }
  return events;
}

std::string stream(AnswerEncoder& encoder, const std::vector<AnswerEvent>& events) {
  std::string text = encoder.begin();
  for (const AnswerEvent& event : events) text += encoder.event(0, event);
  return text + encoder.end();
}

TEST(ChatEncoder, TheStreamOfTheSpecification) {
  ChatEncoder encoder(start(), options());
  const std::vector<std::string> events = events_of(stream(encoder, thinking_text_and_call()));
  const std::vector<std::string> deltas = {
      R"({"role":"assistant","content":""})",
      R"({"reasoning_content":"Need","reasoning":"Need"})",
      R"({"content":"Let me "})",
      R"({"content":"look."})",
      R"({"tool_calls":[{"index":0,"id":"call_0","type":"function","function":{"name":"f","arguments":""}}]})",
      R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"city\": \"Kö"}}]})",
      R"({"tool_calls":[{"index":0,"function":{"arguments":"ln\"}"}}]})",
      R"({})"};
  ASSERT_EQ(events.size(), deltas.size() + 2);
  for (size_t i = 0; i < deltas.size(); ++i) {
    const Json chunk = *parse_json(events[i]);
    const Json& choice = chunk.find("choices")->items().front();
    EXPECT_EQ(choice.find("delta")->dump(), deltas[i]);
    EXPECT_EQ(chunk.find("id")->string(), "chatcmpl-1");
    EXPECT_TRUE(chunk.find("usage")->is_null());
    const bool last = i + 1 == deltas.size();
    EXPECT_EQ(*choice.find("finish_reason"), last ? Json("tool_calls") : Json());
  }
  const Json usage = *parse_json(events[events.size() - 2]);
  EXPECT_TRUE(usage.find("choices")->items().empty());
  EXPECT_EQ(
      usage.find("usage")->dump(),
      R"({"prompt_tokens":9,"completion_tokens":31,"total_tokens":40,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":12}})");
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST(ChatEncoder, WithoutUsageThereIsNone) {
  ChatEncoderOptions plain = options();
  plain.stream.include_usage = false;
  ChatEncoder encoder(start(), plain);
  EXPECT_EQ(stream(encoder, thinking_text_and_call()).find("usage"), std::string::npos);
}

TEST(ChatEncoder, WholeIsTheSumOfTheEvents) {
  WholeChoice choice;
  for (const AnswerEvent& event : thinking_text_and_call()) choice.add(event);
  ChatEncoder encoder(start(), options());
  const Json body = encoder.whole({choice});
  const Json& entry = body.find("choices")->items().front();
  EXPECT_EQ(
      entry.find("message")->dump(),
      R"({"role":"assistant","content":"Let me look.","refusal":null,"reasoning_content":"Need","reasoning":"Need","tool_calls":[{"id":"call_0","type":"function","function":{"name":"f","arguments":"{\"city\": \"Köln\"}"}}]})");
  EXPECT_EQ(entry.find("finish_reason")->string(), "tool_calls");
}

TEST(ChatEncoder, EmptyContentIsNullOnlyWithCalls) {
  ChatEncoder encoder(start(), options());
  WholeChoice silent;
  silent.add(finish_event(Finish::Cause::kLength));
  const auto content = [&](const WholeChoice& choice) {
    const Json body = encoder.whole({choice});
    return *body.find("choices")->items().front().find("message")->find("content");
  };
  EXPECT_EQ(content(silent), Json(""));
  WholeChoice calling;
  for (const AnswerEvent& event :
       {AnswerEvent{Kind::kToolStart, "f", 0}, finish_event(Finish::Cause::kLength, 1)})
    calling.add(event);
  EXPECT_EQ(content(calling), Json());
}

TEST(ChatEncoder, ReasoningFieldsAsAskedFor) {
  const auto thought = [&](ReasoningField field, bool inlined, bool held) {
    ChatEncoderOptions made = options();
    made.reasoning_field = field;
    made.inline_reasoning = inlined;
    made.hold_reasoning = held;
    ChatEncoder encoder(start(), made);
    std::string deltas;
    for (const std::string& event : events_of(stream(
             encoder, {{Kind::kReasoning, "a"}, {Kind::kReasoning, "b"}, {Kind::kContent, "c"}}))) {
      const auto chunk = parse_json(event);
      if (!chunk.ok() || chunk->find("choices")->items().empty()) continue;
      deltas += chunk->find("choices")->items().front().find("delta")->dump();
    }
    return deltas.substr(deltas.find('}') + 1);
  };
  EXPECT_EQ(thought(ReasoningField::kReasoning, false, false),
            R"({"reasoning":"a"}{"reasoning":"b"}{"content":"c"})");
  EXPECT_EQ(thought(ReasoningField::kReasoningContent, false, true),
            R"({"reasoning_content":"ab"}{"content":"c"})");
  const char* inlined =
      R"({"content":"<think>\na"}{"content":"b"}{"content":"\n</think>\n\n"}{"content":"c"})";
  EXPECT_EQ(thought(ReasoningField::kNone, false, false), inlined);
  EXPECT_EQ(thought(ReasoningField::kBoth, true, false), inlined);
}

TEST(ChatEncoder, ChoicesBeginInOrderAndThePromptCountsOnce) {
  ChatEncoder encoder(start(2), options());
  std::string text = encoder.begin();
  text += encoder.event(1, finish_event(Finish::Cause::kEndOfTurn));
  text += encoder.event(0, finish_event(Finish::Cause::kEndOfTurn));
  text += encoder.end();
  const std::vector<std::string> events = events_of(text);
  EXPECT_NE(events[0].find("\"index\":0"), std::string::npos);
  EXPECT_NE(events[1].find("\"index\":1"), std::string::npos);
  EXPECT_NE(text.find(R"("prompt_tokens":9,"completion_tokens":62)"), std::string::npos);
}

TEST(ChatEncoder, FailuresAndSilence) {
  ChatEncoder encoder(start(), options());
  ApiError error;
  error.message = "lost";
  const std::vector<std::string> events = events_of(encoder.failure(error));
  EXPECT_NE(events[0].find(R"({"error":{"message":"lost")"), std::string::npos);
  EXPECT_EQ(events[1], "[DONE]");
  EXPECT_EQ(encoder.keep_alive(15), ": ping\n\n");
  EXPECT_NE(encoder.keep_alive(60).find(R"("delta":{})"), std::string::npos);
}

TEST(ChatEncoder, LogProbabilities) {
  ChatEncoderOptions made = options();
  made.logprobs = true;
  made.tokenizer = test::model_text().tokenizer;
  ChatEncoder encoder(start(), made);
  AnswerEvent event{Kind::kContent, "#"};
  event.tokens = {{2, -0.5f, {{2, -0.5f}, {3, -std::numeric_limits<float>::infinity()}}}};
  const Json chunk = *parse_json(events_of(encoder.event(0, event)).front());
  EXPECT_EQ(
      chunk.find("choices")->items().front().find("logprobs")->dump(),
      R"({"content":[{"token":"#","logprob":-0.5,"bytes":[35],"top_logprobs":[{"token":"#","logprob":-0.5,"bytes":[35]},{"token":"$","logprob":-9999,"bytes":[36]}]}],"refusal":null})");
}

TEST(CompletionsEncoder, EchoWithLogProbabilities) {
  CompletionsEncoderOptions made;
  made.echo = made.logprobs = true;
  made.tokenizer = test::model_text().tokenizer;
  AnswerStart begun = start();
  begun.prompts = {{1, 2}};
  CompletionsEncoder encoder(begun, made);
  WholeChoice choice;
  choice.prompt_tokens = {{2, -2.0f, {{3, -1.0f}}}};
  AnswerEvent event{Kind::kContent, "$"};
  event.tokens = {{3, -0.25f, {{3, -0.25f}}}};
  choice.add(event);
  choice.add(finish_event(Finish::Cause::kLength));
  const Json body = encoder.whole({choice});
  const Json& entry = body.find("choices")->items().front();
  EXPECT_EQ(entry.find("text")->string(), "\"#$");
  EXPECT_EQ(
      entry.find("logprobs")->dump(),
      R"({"tokens":["\"","#","$"],"token_logprobs":[null,-2,-0.25],"top_logprobs":[null,{"$":-1,"#":-2},{"$":-0.25}],"text_offset":[0,1,2]})");
}

}  // namespace
}  // namespace sluice::server::openai
