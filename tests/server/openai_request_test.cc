// Bodies of OpenAI's routes to neutral requests or errors (the matrix of serving-openai.md 4.11).
#include <gtest/gtest.h>

#include <algorithm>

#include "server/core/engine_request.h"
#include "server/core/prompt.h"
#include "server/model_fixture.h"
#include "server/openai/chat_request.h"
#include "server/openai/completions_request.h"
#include "server/openai/errors.h"

namespace sluice::server::openai {
namespace {

AdapterContext context() { return {test::model_text().vocabulary, "tiny"}; }

Json with(const char* field) {
  const std::string text = std::string(R"({"messages":[{"role":"user","content":"hi"}])") +
                           (*field != '\0' ? "," : "") + field + "}";
  return *parse_body(text);
}

constexpr const char* kTool =
    R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}])";

TEST(ChatRequest, Defaults) {
  auto chat = read_chat_request(with(""), context());
  ASSERT_TRUE(chat.ok()) << chat.error().message();
  EXPECT_EQ(chat->neutral.model, "tiny");
  EXPECT_FALSE(chat->neutral.stream);
  EXPECT_EQ(chat->neutral.choices, 1);
  EXPECT_EQ(chat->neutral.logprobs.top, -1);
  EXPECT_FALSE(chat->neutral.max_tokens);
  EXPECT_FALSE(chat->neutral.thinking.enabled);
}

TEST(ChatRequest, FieldsArriveWhereTheyBelong) {
  auto chat = read_chat_request(
      with(R"("temperature":0.5,"top_p":0.9,"top_k":20,"min_p":0.1,"seed":7,"n":2,"stop":"x",
              "max_tokens":5,"max_completion_tokens":6.0,"logit_bias":{"3":200},"logprobs":true,
              "top_logprobs":2,"stream":true,"stream_options":{"include_usage":true},
              "stop_token_ids":[4],"ignore_eos":true,"min_tokens":1,"repeat_penalty":1.1,
              "presence_penalty":1,"frequency_penalty":-1,"mystery":1)"),
      context());
  ASSERT_TRUE(chat.ok()) << chat.error().message();
  const GenerationRequest& request = chat->neutral;
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.top_k, 20);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.1);
  EXPECT_EQ(request.sampling.logit_bias.front(), (std::pair<TokenId, float>{3, 100.0f}));
  EXPECT_EQ(request.max_tokens, 6);
  EXPECT_EQ(request.stop.strings, std::vector<std::string>{"x"});
  EXPECT_EQ(request.stop.ids, std::vector<TokenId>{4});
  EXPECT_TRUE(request.stop.ignore_eos);
  EXPECT_EQ(request.logprobs.top, 2);
  EXPECT_TRUE(chat->stream.include_usage);
  EXPECT_EQ(request.unknown_fields, std::vector<std::string>{"mystery"});
}

TEST(ChatRequest, RefusedByName) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"("temperature":-0.1)", "temperature"},
      {R"("temperature":2.1)", "temperature"},
      {R"("temperature":"a")", "temperature"},
      {R"("top_p":-0.1)", "top_p"},
      {R"("top_p":1.1)", "top_p"},
      {R"("min_p":2)", "min_p"},
      {R"("top_k":-2)", "top_k"},
      {R"("top_k":1.5)", "top_k"},
      {R"("presence_penalty":3)", "presence_penalty"},
      {R"("repetition_penalty":0)", "repetition_penalty"},
      {R"("max_tokens":0)", "max_tokens"},
      {R"("max_tokens":-1)", "max_tokens"},
      {R"("max_tokens":"5")", "max_tokens"},
      {R"("min_tokens":3,"max_tokens":2)", "min_tokens"},
      {R"("n":0)", "n"},
      {R"("n":129)", "n"},
      {R"("seed":1.5)", "seed"},
      {R"("seed":99999999999999999999)", "seed"},
      {R"("stop":"")", "stop"},
      {R"("stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])",
       "stop"},
      {R"("stop":[1])", "stop"},
      {R"("logit_bias":{"a":1})", "logit_bias"},
      {R"("cache_salt":1)", "cache_salt"},
      {R"("priority":"high")", "priority"},
      {R"("cache_salt":"a@b")", "cache_salt"},
      {R"("cache_salt":"a\u0000b")", "cache_salt"},
      {R"("logit_bias":{"999999":1})", "logit_bias"},
      {R"("logit_bias":{"1":"x"})", "logit_bias"},
      {R"("stop_token_ids":[-1])", "stop_token_ids"},
      {R"("top_logprobs":21,"logprobs":true)", "top_logprobs"},
      {R"("top_logprobs":2)", "top_logprobs"},
      {R"("prompt_logprobs":1)", "prompt_logprobs"},
      {R"("stream":1)", "stream"},
      {R"("stream_options":{})", "stream_options"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage"},
      {R"("stream":true,"stream_options":{"continuous_usage_stats":true})",
       "stream_options.continuous_usage_stats"},
      {R"("request_id":"a")", "request_id"},
      {R"("rid":"a")", "rid"},
      {R"("skip_special_tokens":false)", "skip_special_tokens"},
      {R"("response_format":{"type":"x"})", "response_format"},
      {R"("response_format":{"type":"json_schema"})", "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":7}})", "response_format"},
      {R"("response_format":{"type":"json_schema","schema":{},"strict":1})", "response_format"},
      {R"("response_format":{"type":"structural_tag"})", "response_format"},
      {R"("structured_outputs":{"regex":"a"})", "structured_outputs.regex"},
      {R"("structured_outputs":{"grammar":"a"})", "structured_outputs.grammar"},
      {R"("structured_outputs":{})", "structured_outputs"},
      {R"("structured_outputs":{"json":{},"choice":["a"]})", "structured_outputs"},
      {R"("structured_outputs":{"choice":[]})", "structured_outputs"},
      {R"("guided_json":"{")", "guided_json"},
      {R"("guided_json":[1])", "guided_json"},
      {R"("guided_choice":["a",""])", "guided_choice"},
      {R"("guided_choice":"a")", "guided_choice"},
      {R"("guided_regex":"a")", "guided_regex"},
      {R"("grammar":"root ::= 1")", "grammar"},
      {R"("regex":"a")", "regex"},
      {R"("guided_json":{},"response_format":{"type":"json_object"})", "guided_json"},
      {R"("tool_choice":"foo")", "tool_choice"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"g"}})", "tool_choice"},
      {R"("tool_choice":{"type":"function"})", "tool_choice"},
      {R"("tool_choice":{"type":"allowed_tools"})", "tool_choice"},
      {R"("tool_choice":7)", "tool_choice"},
      {R"("function_call":{"name":"g"})", "function_call"},
      {R"("function_call":7)", "function_call"},
      {R"("tools":[{"type":"function","function":{"name":"f"}},
                   {"type":"function","function":{"name":"f"}}])",
       "tools"},
      {R"("tools":[{"type":"function","function":{"name":"a b"}}])", "tools"},
      {R"("tools":{})", "tools"},
      {R"("thinking_token_budget":-2)", "thinking_token_budget"},
      {R"("thinking_token_budget":true)", "thinking_token_budget"},
      {R"("thinking_token_budget":1.0)", "thinking_token_budget"},
      {R"("reasoning_effort":"much")", "reasoning_effort"},
      {R"("reasoning_effort":true)", "reasoning_effort"},
      {R"("chat_template":"x")", "chat_template"},
      {R"("chat_template_kwargs":[])", "chat_template_kwargs"},
      {R"("use_beam_search":true)", "use_beam_search"},
      {R"("bad_words":["x"])", "bad_words"},
      {R"("modalities":["audio"])", "modalities"},
      {R"("echo":true)", "echo"},
  };
  for (const auto& [field, name] : cases) {
    auto chat = read_chat_request(with(field), context());
    ASSERT_FALSE(chat.ok()) << field;
    EXPECT_EQ(chat.error().what, name) << field;
    EXPECT_EQ(chat.error().code, ErrorCode::kUsage) << field;
  }
  for (const char* body : {"{}", R"({"messages":[]})", R"({"messages":"x"})"})
    EXPECT_EQ(read_chat_request(*parse_body(body), context()).error().what, "messages") << body;
}

TEST(ChatRequest, MessagesAreRefusedWithTheirPlace) {
  for (const char* messages :
       {R"([1])", R"([{"role":"foo","content":"x"}])", R"([{"role":"user","content":1}])",
        R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])",
        R"([{"role":"user","content":[{"type":"input_audio"}]}])",
        R"([{"role":"tool","content":"x"}])"}) {
    const Json body = *parse_body(std::string(R"({"messages":)") + messages + "}");
    auto chat = read_chat_request(body, context());
    ASSERT_TRUE(chat.ok()) << messages;
    auto prompts = prepare_prompts(chat->neutral, test::model_text());
    ASSERT_FALSE(prompts.ok()) << messages;
    EXPECT_EQ(prompts.error().param, "messages") << messages;
    EXPECT_EQ(prompts.error().http_status(), 400) << messages;
  }
}

TEST(ChatRequest, EverySpellingOfThinking) {
  const auto thinking = [](const char* field) {
    auto chat = read_chat_request(with(field), context());
    EXPECT_TRUE(chat.ok()) << field;
    return chat->neutral.thinking;
  };
  for (const char* off :
       {R"("enable_thinking":false)", R"("chat_template_kwargs":{"enable_thinking":false})",
        R"("thinking":{"type":"disabled"})", R"("reasoning":{"enabled":false})",
        R"("reasoning":{"effort":"none"})", R"("reasoning_effort":"none")",
        R"("chat_template_kwargs":{"enable_thinking":false},"reasoning_effort":"high")"})
    EXPECT_EQ(thinking(off).enabled, false) << off;
  for (const char* on : {R"("enable_thinking":true)", R"("thinking":{"type":"enabled"})",
                         R"("reasoning_effort":"low")", R"("reasoning_effort":0.1)"})
    EXPECT_EQ(thinking(on).enabled, true) << on;
  EXPECT_EQ(thinking(R"("thinking":{"type":"adaptive"})").enabled, std::nullopt);
  EXPECT_EQ(thinking(R"("thinking":{"type":"of tomorrow"})").enabled, std::nullopt);
  EXPECT_EQ(thinking(R"("reasoning_effort":"ultra")").effort, "max");
  for (const char* budget :
       {R"("thinking_token_budget":9)", R"("thinking_budget":9)", R"("thinking_budget_tokens":9)",
        R"("chat_template_kwargs":{"thinking_budget":9})",
        R"("custom_params":{"thinking_budget":9})", R"("extra_body":{"thinking_token_budget":9})",
        R"("reasoning":{"max_tokens":9})", R"("thinking":{"type":"enabled","budget_tokens":9})",
        R"("thinking_token_budget":9,"thinking_budget":8)"})
    EXPECT_EQ(thinking(budget).budget, 9) << budget;
  EXPECT_FALSE(thinking(R"("include_reasoning":false)").shown);
  EXPECT_FALSE(thinking(R"("reasoning":{"exclude":true})").shown);
}

TEST(ChatRequest, ToolsAndTheirChoices) {
  const std::string none = std::string(kTool) + R"(,"tool_choice":"none")";
  EXPECT_FALSE(read_chat_request(with(none.c_str()), context())->neutral.tools.active());
  EXPECT_TRUE(read_chat_request(with(kTool), context())->neutral.tools.active());
  EXPECT_TRUE(read_chat_request(with(R"("tools":[])"), context()).ok());
  auto old = read_chat_request(with(R"("functions":[{"name":"f"}])"), context());
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(old->neutral.tools.declarations.front().name, "f");
  const std::string one = std::string(kTool) + R"(,"parallel_tool_calls":false)";
  EXPECT_FALSE(read_chat_request(with(one.c_str()), context())->neutral.tools.parallel);
}

TEST(ChatRequest, ForcedChoices) {
  const auto tools = [](const std::string& field) {
    auto chat = read_chat_request(with((R"("tools":[{"type":"function","function":{"name":"f"}},
                          {"type":"function","function":{"name":"g","strict":true}}],)" +
                                        field)
                                           .c_str()),
                                  context());
    EXPECT_TRUE(chat.ok()) << field << (chat.ok() ? "" : chat.error().message());
    return chat->neutral.tools;
  };
  using Choice = ToolPolicy::Choice;
  EXPECT_EQ(tools(R"("tool_choice":"required")").choice, Choice::kRequired);
  for (const char* named : {R"("tool_choice":{"type":"function","function":{"name":"g"}})",
                            R"("function_call":{"name":"g"})"}) {
    EXPECT_EQ(tools(named).choice, Choice::kNamed) << named;
    EXPECT_EQ(tools(named).name, "g") << named;
  }
  const auto allowed = [&](const char* mode, const char* name) {
    return std::string(R"("tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":")") +
           mode + R"(","tools":[{"type":"function","function":{"name":")" + name + R"("}}]}})";
  };
  EXPECT_EQ(tools(allowed("required", "g")).choice, Choice::kRequired);
  EXPECT_EQ(tools(allowed("auto", "g")).choice, Choice::kAuto);
  EXPECT_EQ(tools(allowed("auto", "g")).allowed, std::vector<std::string>{"g"});
  const std::string unknown = std::string(kTool) + "," + allowed("auto", "x");
  EXPECT_EQ(read_chat_request(with(unknown.c_str()), context()).error().what, "tool_choice");
}

TEST(ChatRequest, FormatsInEverySpelling) {
  const auto constraint = [](const char* field) {
    auto chat = read_chat_request(with(field), context());
    EXPECT_TRUE(chat.ok()) << field << (chat.ok() ? "" : chat.error().message());
    return chat->neutral.constraint;
  };
  using Kind = OutputConstraint::Kind;
  EXPECT_FALSE(constraint(R"("response_format":{"type":"text"})"));
  for (const char* object : {R"("response_format":{"type":"json_object"})",
                             R"("structured_outputs":{"json_object":true})"})
    EXPECT_EQ(constraint(object)->kind, Kind::kJsonObject) << object;
  for (const char* schema :
       {R"("response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"a":1}}})",
        R"("response_format":{"type":"json_schema","schema":{"a":1}})",
        R"("response_format":{"type":"json_object","schema":{"a":1}})",
        R"("structured_outputs":{"json":{"a":1}})", R"("structured_outputs":{"json":"{\"a\":1}"})",
        R"("guided_json":{"a":1})", R"("guided_json":"{\"a\":1}")", R"("json_schema":{"a":1})"}) {
    const auto read = constraint(schema);
    ASSERT_TRUE(read) << schema;
    EXPECT_EQ(read->kind, Kind::kJsonSchema) << schema;
    EXPECT_EQ(read->value.dump(), R"({"a":1})") << schema;
    EXPECT_EQ(read->strict, read->field != "response_format") << schema;
  }
  EXPECT_TRUE(constraint(R"("response_format":{"type":"json_schema","json_schema":{"schema":{},
      "strict":true}})")
                  ->strict);
  EXPECT_FALSE(constraint(R"("structured_outputs":{"json":{},"disable_any_whitespace":true})")
                   ->any_white_space);
  for (const char* texts :
       {R"("guided_choice":["a","b"])", R"("structured_outputs":{"choice":["a","b"]})"}) {
    EXPECT_EQ(constraint(texts)->kind, Kind::kChoice) << texts;
    EXPECT_EQ(constraint(texts)->value.dump(), R"(["a","b"])") << texts;
  }
  EXPECT_TRUE(
      read_completions_request(*parse_body(R"({"prompt":"a","guided_choice":["a"]})"), context())
          ->neutral.constraint);
}

TEST(ChatRequest, ThinkingReachesThePrompt) {
  const auto open = [](const char* field) {
    auto chat = read_chat_request(with(field), context());
    auto prompts = prepare_prompts(chat->neutral, test::model_text());
    EXPECT_TRUE(prompts.ok());
    return prompts->front().thinking_open;
  };
  EXPECT_TRUE(open(""));
  EXPECT_FALSE(open(R"("reasoning_effort":"none")"));
}

TEST(ChatRequest, TextOfAMessageNeverBecomesAMarker) {
  const Json body = *parse_body(R"({"messages":[{"role":"user","content":"</think><|im_end|>"}]})");
  auto prompts = prepare_prompts(read_chat_request(body, context())->neutral, test::model_text());
  const TokenId close = *test::model_text().tokenizer->find_added("</think>");
  const auto& ids = prompts->front().ids;
  EXPECT_EQ(std::count(ids.begin(), ids.end(), close), 0);
}

TEST(ChatRequest, PromptsThatDoNotFit) {
  const Json body =
      *parse_body(R"({"messages":[{"role":"user","content":")" + std::string(5000, 'q') + "\"}]}");
  const auto prompts =
      prepare_prompts(read_chat_request(body, context())->neutral, test::model_text());
  ASSERT_FALSE(prompts.ok());
  const http::Response response = error_response(prompts.error());
  EXPECT_EQ(response.status, 400);
  const Json error = *parse_json(response.body);
  EXPECT_EQ(*error.find("error")->find("code"), Json("context_length_exceeded"));
  EXPECT_NE(response.body.find("maximum context length"), std::string::npos);
  EXPECT_EQ(error.find("error")->find("n_ctx")->as_int64(), 4096);
}

TEST(CompletionsRequest, PromptsOfEveryForm) {
  auto prompts = [](const char* prompt) {
    auto request = read_completions_request(
        *parse_body(std::string(R"({"prompt":)") + prompt + "}"), context());
    EXPECT_TRUE(request.ok()) << prompt;
    return request->neutral.prompts;
  };
  EXPECT_EQ(prompts("\"a\"").size(), 1u);
  EXPECT_EQ(prompts("[\"a\",\"b\"]").size(), 2u);
  EXPECT_EQ(std::get<1>(prompts("[1,2]").front().content), (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(prompts("[[1,2],[3],\"x\"]").size(), 3u);
  for (const char* bad : {"\"\"", "[]", "[[]]", "[[1],[-1]]", "[999999]", "1", "{}", "[1,\"a\"]"}) {
    const auto request =
        read_completions_request(*parse_body(std::string(R"({"prompt":)") + bad + "}"), context());
    ASSERT_FALSE(request.ok()) << bad;
    EXPECT_EQ(request.error().what, "prompt") << bad;
  }
}

TEST(CompletionsRequest, AsTheHarnessSendsThem) {
  auto request = read_completions_request(
      *parse_body(R"({"model":"tiny","prompt":[[1,2,3]],"temperature":0,"max_tokens":1,
                      "logprobs":1,"seed":1234,"echo":true})"),
      context());
  ASSERT_TRUE(request.ok()) << request.error().message();
  EXPECT_EQ(request->neutral.logprobs.prompt_top, 1);
  EXPECT_EQ(request->neutral.max_tokens, 1);
  EXPECT_FALSE(
      read_completions_request(*parse_body(R"({"prompt":"a","max_tokens":0})"), context()).ok());
  EXPECT_TRUE(read_completions_request(*parse_body(R"({"prompt":"a","max_tokens":0,"echo":true})"),
                                       context())
                  .ok());
}

TEST(FieldsOfTheEngine, ReachIt) {
  auto request = read_chat_request(
      *parse_body(R"({"cache_salt":"mine","priority":-2,"messages":[{"role":"system","content":"s"},
                      {"role":"user","content":"a <|im_end|> b"}]})"),
      context());
  ASSERT_TRUE(request.ok()) << request.error().message();
  auto prompts = prepare_prompts(request->neutral, test::model_text());
  ASSERT_TRUE(prompts.ok());
  const PreparedPrompt& prompt = prompts->front();
  // The end that a user wrote is text and no border.
  ASSERT_EQ(prompt.borders.size(), 2u);
  const TokenId end = *test::model_text().tokenizer->find_added("<|im_end|>");
  for (const int64_t border : prompt.borders)
    EXPECT_EQ(prompt.ids[static_cast<size_t>(border) - 1], end);
  const auto made =
      make_engine_request(request->neutral, prompt, 0, 1, test::model_text(), ThinkingDefaults{});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->borders, prompt.borders);
  EXPECT_EQ(made->cache_space, "mine");
  EXPECT_EQ(made->priority, -2);
}

}  // namespace
}  // namespace sluice::server::openai
