// /v1/responses: items to messages, and the order of events.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "server/model_fixture.h"
#include "server/openai/responses_encoder.h"
#include "server/openai/responses_request.h"

namespace sluice::server::openai {
namespace {

using Kind = AnswerEvent::Kind;

AdapterContext context() { return {test::model_text().vocabulary, "tiny"}; }

std::string messages(const char* items) {
  auto made = messages_of_items(*parse_json(items), "");
  return made.ok() ? made->dump() : "error: " + made.error().message();
}

TEST(Items, OneTurnOfTheModelIsOneMessage) {
  EXPECT_EQ(
      messages(R"([{"role":"user","content":"q"},
        {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"t"}]},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"}]},
        {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
        {"type":"function_call","call_id":"c2","name":"g","arguments":"{\"x\":1}"},
        {"type":"function_call_output","call_id":"c1","output":"r"},
        {"type":"custom_of_tomorrow"}])"),
      R"([{"role":"user","content":"q"},)"
      R"({"role":"assistant","content":[{"type":"output_text","text":"a"}],"reasoning_content":"t","tool_calls":[)"
      R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},)"
      R"({"id":"c2","type":"function","function":{"name":"g","arguments":"{\"x\":1}"}}]},)"
      R"({"role":"tool","content":"r","tool_call_id":"c1"}])");
}

TEST(Items, ThoughtsFromWhereTheyAre) {
  for (const char* thought : {R"("summary":[{"type":"summary_text","text":"t"}])",
                              R"("summary":[],"encrypted_content":"t")"}) {
    const std::string text = messages((std::string(R"([{"type":"reasoning",)") + thought +
                                       R"(},{"type":"function_call","call_id":"c","name":"f"}])")
                                          .c_str());
    EXPECT_NE(text.find(R"("reasoning_content":"t")"), std::string::npos) << text;
  }
}

TEST(Items, RefusedWithTheirPlace) {
  for (const char* bad : {"[1]", R"([{"role":"user"}])", R"([{"type":"item_reference","id":"x"}])",
                          R"([{"type":"function_call","call_id":"c"}])",
                          R"([{"type":"function_call_output","call_id":"c"}])"})
    EXPECT_EQ(messages(bad).rfind("error: input[0]", 0), 0u) << bad;
}

TEST(Request, FieldsAndRefusals) {
  const auto with = [](const char* field) {
    return read_responses_request(
        *parse_body(std::string(R"({"input":"hi")") + (*field ? "," : "") + field + "}"), context(),
        nullptr);
  };
  auto plain = with(R"("instructions":"S","max_output_tokens":5,"reasoning":{"effort":"low",
      "summary":"auto"},"tools":[{"type":"web_search"},{"type":"function","name":"f"}],
      "include":["reasoning.encrypted_content"],"store":false)");
  ASSERT_TRUE(plain.ok()) << plain.error().message();
  EXPECT_TRUE(plain->summary);
  EXPECT_TRUE(plain->encrypted_content);
  EXPECT_FALSE(plain->store);
  EXPECT_EQ(plain->neutral.tools.declarations.size(), 1u);
  EXPECT_EQ(plain->neutral.thinking.effort, "low");
  EXPECT_EQ(plain->items.items().size(), 1u);
  EXPECT_EQ(plain->echoed.find("instructions")->string(), "S");
  for (const auto& [field, name] : std::vector<std::pair<const char*, const char*>>{
           {R"("background":true)", "background"},
           {R"("prompt":{"id":"x"})", "prompt"},
           {R"("conversation":"c")", "conversation"},
           {R"("text":{"format":{"type":"json_schema"}})", "text.format"},
           {R"("text":{"format":"json"})", "text.format"},
           {R"("max_output_tokens":0)", "max_output_tokens"},
           {R"("max_tool_calls":2)", "max_tool_calls"},
           {R"("truncation":"auto")", "truncation"},
           {R"("tool_choice":"required")", "tool_choice"}}) {
    auto refused = with(field);
    ASSERT_FALSE(refused.ok()) << field;
    EXPECT_EQ(refused.error().what, name);
  }
  EXPECT_FALSE(read_responses_request(*parse_body("{}"), context(), nullptr).ok());
}

TEST(Request, ChoicesAndFormats) {
  const auto with = [](const char* field) {
    auto request = read_responses_request(
        *parse_body(std::string(R"({"input":"hi","tools":[{"type":"function","name":"f"},
            {"type":"function","name":"g","strict":true}],)") +
                    field + "}"),
        context(), nullptr);
    EXPECT_TRUE(request.ok()) << field << (request.ok() ? "" : request.error().message());
    return request->neutral;
  };
  const auto named = with(R"("tool_choice":{"type":"function","name":"g"})").tools;
  EXPECT_EQ(named.choice, ToolPolicy::Choice::kNamed);
  EXPECT_EQ(named.name, "g");
  EXPECT_TRUE(named.declarations[1].strict);
  const auto allowed = with(
                           R"("tool_choice":{"type":"allowed_tools","mode":"required",
      "tools":[{"type":"function","name":"f"}]})")
                           .tools;
  EXPECT_EQ(allowed.choice, ToolPolicy::Choice::kRequired);
  EXPECT_EQ(allowed.allowed, std::vector<std::string>{"f"});
  const auto constraint = with(R"("text":{"format":{"type":"json_schema","name":"n","strict":true,
      "schema":{"type":"object"}}})")
                              .constraint;
  ASSERT_TRUE(constraint);
  EXPECT_TRUE(constraint->strict);
  EXPECT_EQ(constraint->value.dump(), R"({"type":"object"})");
  EXPECT_FALSE(with(R"("text":{"format":{"type":"text"}})").constraint);
}

TEST(Request, HistoryComesFirst) {
  const Json history = *parse_json(R"([{"role":"user","content":"first"}])");
  const auto request =
      read_responses_request(*parse_body(R"({"input":"second"})"), context(), &history);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->items.items().size(), 2u);
  EXPECT_EQ(request->items.items().front().find("content")->string(), "first");
}

std::vector<AnswerEvent> answer(Finish::Cause cause) {
  AnswerEvent finish{Kind::kFinish, {}};
  finish.finish.emplace();
  finish.finish->cause = cause;
  finish.finish->calls = 1;
  std::vector<AnswerEvent> events = {{Kind::kReasoning, "a"},
                                     {Kind::kReasoning, "b"},
                                     {Kind::kContent, "Look."},
                                     {Kind::kToolStart, "f", 0},
                                     {Kind::kToolArguments, "{\"x\":", 0},
                                     {Kind::kToolArguments, "1}", 0}};
  if (cause == Finish::Cause::kEndOfTurn) events.push_back({Kind::kToolEnd, {}, 0});
  events.push_back(std::move(finish));
  return events;
}

ResponsesEncoder encoder(std::function<void(const Json&)> on_complete = nullptr) {
  ResponsesEncoderOptions options;
  options.echoed = Json::object();
  options.summary = true;
  options.ids = [n = 0](std::string_view prefix) mutable {
    return std::string(prefix) + std::to_string(n++);
  };
  options.on_complete = std::move(on_complete);
  return ResponsesEncoder({"1", 1, "m", 9, 1, {}}, std::move(options));
}

// Checks the grammar that clients' accumulators insist on; returns the last event's response.
Json follow(const std::string& text) {
  int64_t sequence = 0;
  std::map<int64_t, std::string> added, done;
  Json last;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find("\n\n", begin);
    const std::string event = text.substr(begin, end - begin);
    begin = end + 2;
    const size_t line = event.find('\n');
    const Json data = *parse_json(event.substr(line + 7));
    EXPECT_EQ(event.substr(7, line - 7), data.find("type")->string());
    EXPECT_EQ(data.find("sequence_number")->as_int64(), sequence++);
    const std::string& type = data.find("type")->string();
    const Json* index = data.find("output_index");
    if (sequence == 1) {
      EXPECT_EQ(type, "response.created");
    }
    if (type == "response.output_item.added") {
      EXPECT_TRUE(
          added.emplace(*index->as_int64(), data.find("item")->find("id")->string()).second);
    } else if (type == "response.output_item.done") {
      EXPECT_TRUE(done.emplace(*index->as_int64(), data.find("item")->find("id")->string()).second);
    } else if (index != nullptr) {
      EXPECT_EQ(added.at(*index->as_int64()), data.find("item_id")->string()) << type;
      EXPECT_FALSE(done.contains(*index->as_int64())) << type;
    }
    if (const Json* response = data.find("response")) last = *response;
  }
  EXPECT_EQ(added, done);
  EXPECT_EQ(last.find("output")->items().size(), added.size());
  return last;
}

TEST(ResponsesEncoder, StreamObeysTheGrammarAndEqualsTheWhole) {
  for (const auto cause : {Finish::Cause::kEndOfTurn, Finish::Cause::kLength}) {
    Json stored;
    ResponsesEncoder streaming = encoder([&](const Json& body) { stored = body; });
    std::string text = streaming.begin();
    WholeChoice whole;
    for (const AnswerEvent& event : answer(cause)) {
      text += streaming.event(0, event);
      whole.add(event);
    }
    text += streaming.end();
    const Json response = follow(text);
    EXPECT_EQ(response, stored);
    ResponsesEncoder at_once = encoder();
    EXPECT_EQ(at_once.whole({whole}).dump(), response.dump());
    const bool cut = cause == Finish::Cause::kLength;
    EXPECT_EQ(response.find("status")->string(), cut ? "incomplete" : "completed");
    const auto& output = response.find("output")->items();
    EXPECT_EQ(output[0].find("summary")->items().front().find("text")->string(), "ab");
    EXPECT_EQ(output[2].find("arguments")->string(), "{\"x\":1}");
    EXPECT_EQ(output[2].find("status")->string(), cut ? "incomplete" : "completed");
    EXPECT_NE(output[2].find("id")->string(), output[2].find("call_id")->string());
  }
}

TEST(ResponsesEncoder, Failure) {
  ApiError error;
  error.message = "lost";
  ResponsesEncoder streaming = encoder();
  const std::string text = streaming.begin() + streaming.failure(error);
  EXPECT_NE(text.find("event: response.failed"), std::string::npos);
  EXPECT_NE(text.find(R"("status":"failed","error":{"code":"server_error","message":"lost"})"),
            std::string::npos);
}

}  // namespace
}  // namespace sluice::server::openai
