// Bodies of /v1/messages to neutral requests: conversion, order, what is ignored.
#include <gtest/gtest.h>

#include "server/anthropic/conversation.h"
#include "server/anthropic/errors.h"
#include "server/anthropic/messages_request.h"
#include "server/core/prompt.h"
#include "server/model_fixture.h"

namespace sluice::server::anthropic {
namespace {

AdapterContext context() { return {test::model_text().vocabulary, "tiny"}; }

std::string converted(const char* messages) {
  auto made = convert_messages("", *parse_json(messages), nullptr);
  return made.ok() ? made->dump() : "error: " + made.error().message();
}

TEST(System, BillingLineGoesAndTheRestStays) {
  const auto text = [](const char* system) { return *system_text(*parse_json(system)); };
  EXPECT_EQ(text(R"("plain")"), "plain");
  EXPECT_EQ(text(R"([{"type":"text","text":"x-anthropic-billing-header: a;"},
                     {"type":"text","text":"A"},{"type":"text","text":"B"}])"),
            "A\nB");
  EXPECT_EQ(text(R"("x-anthropic-billing-header: cch=1;\nYou are")"), "You are");
  EXPECT_FALSE(system_text(*parse_json("[1]")).ok());
  EXPECT_FALSE(system_text(Json(1)).ok());
}

TEST(Messages, ResultsComeBeforeTextAndInTheirOwnMessages) {
  EXPECT_EQ(
      converted(R"([{"role":"user","content":"q"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},
          {"type":"text","text":"look"},{"type":"tool_use","id":"c1","name":"f","input":{"b":1,"a":2.0}}]},
        {"role":"user","content":[{"type":"text","text":"and"},
          {"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"r"}]}]}])"),
      R"([{"role":"user","content":[{"type":"text","text":"q"}]},)"
      R"({"role":"assistant","content":[{"type":"text","text":"look"}],"reasoning_content":"t",)"
      R"("tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":{"b":1,"a":2.0}}}]},)"
      R"({"role":"tool","tool_call_id":"c1","content":"r"},)"
      R"({"role":"user","content":[{"type":"text","text":"and"}]}])");
}

TEST(Messages, RemindersJoinTheLastResult) {
  const std::string text = converted(
      R"([{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"r","is_error":true},
          {"type":"text","text":"<system-reminder>x</system-reminder>"}]}])");
  EXPECT_NE(text.find(R"("content":"Error: r\n<system-reminder>x</system-reminder>")"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("\"user\""), std::string::npos);
}

TEST(Messages, OneRoleInARowIsOneTurn) {
  EXPECT_EQ(
      converted(R"([{"role":"user","content":"a"},{"role":"user","content":"b"}])"),
      R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"\n\n"},{"type":"text","text":"b"}]}])");
}

TEST(Messages, UnknownBlocksAreSkippedAndBrokenOnesRefused) {
  EXPECT_EQ(
      converted(R"([{"role":"user","content":[{"type":"of tomorrow"},{"type":"text","text":"a"},
                           {"type":"redacted_thinking","data":"x"}]}])"),
      R"([{"role":"user","content":[{"type":"text","text":"a"}]}])");
  for (
      const char* bad :
      {R"([{"role":"tool","content":"a"}])", R"([{"role":"user"}])",
       R"([{"role":"user","content":1}])", R"([{"role":"user","content":[1]}])", R"([1])",
       R"([{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"a"}]}])",
       R"([{"role":"user","content":[{"type":"document","source":{"type":"base64","data":"x"}}]}])"})
    EXPECT_EQ(converted(bad).rfind("error: messages", 0), 0u) << bad;
}

TEST(Messages, ALateSystemMessageStaysInItsPlace) {
  const Json body = *parse_body(
      R"({"max_tokens":9,"system":"S","messages":[{"role":"user","content":"q"},
          {"role":"system","content":"x-anthropic-billing-header: 7\nlate"}]})");
  auto request = read_messages_request(body, context());
  ASSERT_TRUE(request.ok()) << request.error().message();
  auto prompts = prepare_prompts(request->neutral, test::model_text());
  ASSERT_TRUE(prompts.ok()) << prompts.error().message;
  EXPECT_EQ(prompts->front().text,
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nq\n\nlate<|im_end|>\n"
            "<|im_start|>assistant\n<think>\n");
}

TEST(Messages, EarlierThoughtsAreKept) {
  const Json body = *parse_body(
      R"({"max_tokens":9,"messages":[{"role":"user","content":"q"},
          {"role":"assistant","content":[{"type":"thinking","thinking":"deep","signature":""},
                                         {"type":"text","text":"a"}]},
          {"role":"user","content":"r"}]})");
  auto prompts =
      prepare_prompts(read_messages_request(body, context())->neutral, test::model_text());
  ASSERT_TRUE(prompts.ok()) << prompts.error().message;
  EXPECT_NE(prompts->front().text.find("<think>\ndeep\n</think>"), std::string::npos);
}

TEST(Tools, ConvertedOrLeftOut) {
  auto tools = convert_tools(*parse_json(
      R"([{"name":"f","description":"d","input_schema":{"properties":{"b":{},"a":{}}}},
          {"type":"web_search_20250305","name":"web_search"},
          {"type":"custom","name":"g","input_schema":{"type":"object"},"cache_control":{}}])"));
  EXPECT_EQ(
      tools->dump(),
      R"([{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"b":{},"a":{}}}}},)"
      R"({"type":"function","function":{"name":"g","parameters":{"type":"object"}}}])");
}

TEST(MessagesRequest, ClaudeCodesFirstRequest) {
  auto request = read_messages_request(
      *parse_body(
          R"({"model":"claude-sonnet","max_tokens":32000,"stream":true,"metadata":{"user_id":"u"},
              "thinking":{"type":"adaptive"},"output_config":{"effort":"high"},
              "context_management":{"edits":[]},"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],
              "tools":[{"name":"Read","description":"d","input_schema":{"type":"object"}}],
              "messages":[{"role":"user","content":[{"type":"text","text":"hi"}]},
                          {"role":"system","content":"late"}],"brand_new":1})"),
      context());
  ASSERT_TRUE(request.ok()) << request.error().message();
  EXPECT_EQ(request->neutral.max_tokens, 32000);
  EXPECT_EQ(request->neutral.thinking.effort, "high");
  EXPECT_EQ(request->neutral.thinking.reserve_answer_tokens, 4096);
  EXPECT_TRUE(request->neutral.tools.active());
  EXPECT_EQ(request->neutral.unknown_fields, std::vector<std::string>{"brand_new"});
}

TEST(MessagesRequest, BudgetsAndRefusals) {
  const auto with = [](const char* field) {
    return read_messages_request(
        *parse_body(
            std::string(R"({"max_tokens":100,"messages":[{"role":"user","content":"a"}],)") +
            field + "}"),
        context());
  };
  EXPECT_EQ(with(R"("thinking":{"type":"enabled","budget_tokens":500})")->neutral.thinking.budget,
            99);
  EXPECT_TRUE(with(R"("thinking":{"type":"enabled","budget_tokens":5,"display":"omitted"})")
                  ->thinking_omitted);
  for (const auto& [field, name] : std::vector<std::pair<const char*, const char*>>{
           {R"("tool_choice":{"type":"any"})", "tool_choice"},
           {R"("tool_choice":{"type":"x"})", "tool_choice"},
           {R"("tool_choice":"auto")", "tool_choice"},
           {R"("tool_choice":{"type":"tool"})", "tool_choice"},
           {R"("tools":[{"name":"f"}],"tool_choice":{"type":"tool","name":"g"})", "tool_choice"},
           {R"("output_config":{"format":7})", "output_config.format"},
           {R"("output_config":{"format":{"type":"xml"}})", "output_config.format"},
           {R"("output_config":{"format":{"type":"json_schema"}})", "output_config.format"},
           {R"("stop_sequences":[""])", "stop_sequences"},
           {R"("temperature":3)", "temperature"},
           {R"("tools":[1])", "tools[0].name"},
           {R"("system":7)", "system"},
           {R"("stream":"yes")", "stream"}}) {
    auto request = with(field);
    ASSERT_FALSE(request.ok()) << field;
    EXPECT_EQ(request.error().what, name) << field;
  }
  EXPECT_FALSE(read_messages_request(*parse_body(R"({"messages":[]})"), context()).ok());
  EXPECT_FALSE(
      read_messages_request(
          *parse_body(R"({"max_tokens":-1,"messages":[{"role":"user","content":"a"}]})"), context())
          .ok());
}

TEST(MessagesRequest, ChoicesAndFormats) {
  const auto with = [](const char* field) {
    auto request = read_messages_request(
        *parse_body(std::string(R"({"max_tokens":100,"messages":[{"role":"user","content":"a"}],)"
                                R"("tools":[{"name":"f","strict":true},{"name":"g"}],)") +
                    field + "}"),
        context());
    EXPECT_TRUE(request.ok()) << field << (request.ok() ? "" : request.error().message());
    return request->neutral;
  };
  using Choice = ToolPolicy::Choice;
  const auto any = with(R"("tool_choice":{"type":"any","disable_parallel_tool_use":true})").tools;
  EXPECT_EQ(any.choice, Choice::kRequired);
  EXPECT_FALSE(any.parallel);
  EXPECT_TRUE(any.declarations[0].strict);
  const auto named = with(R"("tool_choice":{"type":"tool","name":"g"})").tools;
  EXPECT_EQ(named.choice, Choice::kNamed);
  EXPECT_EQ(named.name, "g");
  for (
      const char* format :
      {R"("output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}})",
       R"("output_config":{"format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}})"}) {
    const auto constraint = with(format).constraint;
    ASSERT_TRUE(constraint) << format;
    EXPECT_EQ(constraint->value.dump(), R"({"type":"object"})");
    EXPECT_TRUE(constraint->strict);
    EXPECT_EQ(constraint->field, "output_config.format");
  }
}

TEST(Errors, StatusAndWords) {
  ApiError error;
  error.kind = ApiError::Kind::kQueueFull;
  error.retry_after = 2;
  const http::Response busy = error_response(error, "r1");
  EXPECT_EQ(busy.status, 529);
  EXPECT_EQ(busy.headers.find("retry-after"), "2");
  EXPECT_EQ(busy.headers.find("request-id"), "req_r1");
  EXPECT_NE(busy.body.find("overloaded_error"), std::string::npos);
  error.kind = ApiError::Kind::kContextLength;
  error.prompt_tokens = 10;
  error.context = 5;
  EXPECT_NE(error_response(error, "").body.find("prompt is too long: 10 tokens > 5 maximum"),
            std::string::npos);
}

}  // namespace
}  // namespace sluice::server::anthropic
