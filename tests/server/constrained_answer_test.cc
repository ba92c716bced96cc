// Forced tools and schemas on a model that knows next to nothing: every answer keeps to them, at
// every draft depth with the same bytes.
#include <gtest/gtest.h>

#include "base/file.h"
#include "chat/schema_validator.h"
#include "runtime/golden_model.h"
#include "server/core/answer.h"
#include "server/core/encoder.h"
#include "server/core/engine_request.h"
#include "server/core/output_grammar.h"
#include "server/openai/chat_request.h"
#include "support/paths.h"

namespace sluice::server {
namespace {

using chat::grammar::valid;

std::filesystem::path sprout() { return test::tests_folder() / ".." / "models" / "sprout"; }

// The demo model, its text side, and one compiler of grammars.
struct Sprout {
  Sprout() : model(sprout(), {"cpu", 1, std::nullopt}), grammars(text) {
    chat_template =
        *chat::ChatTemplate::parse(*read_file(sprout() / "chat_template.jinja", 1 << 20));
    text.tokenizer = model.tokenizer.get();
    text.chat_template = &*chat_template;
    text.stop_ids = model.model->config().stop_ids;
    text.vocabulary = model.model->config().vocabulary;
    text.context = text.trained_context = 1024;
    text.names = {"sprout"};
  }
  test::GoldenModel model;
  std::optional<chat::ChatTemplate> chat_template;
  ModelText text;
  OutputGrammars grammars;
};

Sprout& loaded() {
  static Sprout sprout;
  return sprout;
}

// Tokens of the engine as one whole answer.
class Collector final : public runtime::Listener {
 public:
  Collector(const GenerationRequest& request, bool thinking_open)
      : answer_(request, *loaded().text.tokenizer, loaded().text.stop_ids, thinking_open) {}
  void on_token(const runtime::TokenEvent& event) override {
    ids.push_back(event.token.id);
    for (const AnswerEvent& made : answer_.on_token(event.token)) choice.add(made);
  }
  void on_finish(const runtime::RequestReport& report) override {
    for (const AnswerEvent& made : answer_.on_finish(report)) choice.add(made);
  }
  std::vector<TokenId> ids;
  WholeChoice choice;

 private:
  Answer answer_;
};

Collector ask(const std::string& body, int depth) {
  Sprout& s = loaded();
  auto chat = openai::read_chat_request(*parse_json(body), {s.text.vocabulary, "sprout"});
  EXPECT_TRUE(chat.ok()) << (chat.ok() ? "" : chat.error().message());
  const GenerationRequest& request = chat->neutral;
  auto prompts = prepare_prompts(request, s.text);
  const PreparedPrompt& prompt = prompts->front();
  auto made = make_engine_request(request, prompt, 0, 5, s.text, {});
  EXPECT_TRUE(made.ok());
  if (const auto output = structured_output(request)) {
    auto compiled = s.grammars.compile(request, *output);
    EXPECT_TRUE(compiled.ok()) << (compiled.ok() ? "" : compiled.error().message());
    made->grammar = token_grammar(*compiled, request, s.text, prompt.thinking_open);
  }
  runtime::EngineShape shape;
  shape.context = 1024;
  shape.draft_depth = depth;
  const auto engine = s.model.engine(shape);
  Collector collector(request, prompt.thinking_open);
  EXPECT_TRUE(engine->submit(*made, collector).ok());
  engine->run_until_idle();
  return collector;
}

// All texts of it are bounded, so that no answer is cut.
constexpr const char* kSchema =
    R"({"type":"object","properties":{"name":{"type":"string","maxLength":12},
        "kind":{"enum":["fruit","stone",3]},"sizes":{"type":"array","items":{"type":"boolean"},
        "minItems":1,"maxItems":3},"inner":{"type":["object","null"],"properties":{
        "ok":{"type":"boolean"}},"required":["ok"],"additionalProperties":false}},
        "required":["name","kind","sizes"],"additionalProperties":false})";
constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"paint","strict":true,"parameters":{
        "type":"object","properties":{"colour":{"enum":["red","blue"]},"twice":{"type":"boolean"}},
        "required":["colour"],"additionalProperties":false}}},
      {"type":"function","function":{"name":"wait","parameters":{"type":"object","properties":{}}}}])";

std::string with(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"Tell me about a pear."}],"max_tokens":400,)" +
         fields + "}";
}

// The same bytes at every depth; the answer without drafts.
Collector ask_at_every_depth(const std::string& fields) {
  Collector plain = ask(with(fields), 0);
  for (const int depth : {1, 3}) EXPECT_EQ(ask(with(fields), depth).ids, plain.ids) << fields;
  return plain;
}

constexpr const char* kWays[] = {
    R"("temperature":0,"enable_thinking":false)",
    R"("temperature":1,"seed":3,"enable_thinking":false)",
    R"("temperature":1,"seed":4,"thinking_token_budget":25,"presence_penalty":1)",
};

TEST(ConstrainedAnswer, ASchemaIsKept) {
  const Json schema = *parse_json(kSchema);
  for (const char* way : kWays) {
    // A model that draws at random fills all the room that there is for white space.
    const Collector answer = ask_at_every_depth(
        std::string(R"("structured_outputs":{"disable_any_whitespace":true,"json":)") + kSchema +
        "}," + way);
    const auto value = parse_json(answer.choice.content);
    ASSERT_TRUE(value.ok()) << answer.choice.content;
    EXPECT_TRUE(valid(schema, schema, *value)) << answer.choice.content;
    EXPECT_EQ(answer.choice.finish.cause, Finish::Cause::kEndOfTurn);
  }
}

// Small, because this model would rather write white space than anything else.
TEST(ConstrainedAnswer, ASchemaIsKeptWithWhiteSpace) {
  const char* small =
      R"({"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]})";
  const Json schema = *parse_json(small);
  const Collector answer = ask_at_every_depth(
      std::string(R"("response_format":{"type":"json_schema","json_schema":{"name":"n",
            "strict":true,"schema":)") +
      small + "}}," + kWays[0]);
  const auto value = parse_json(answer.choice.content);
  ASSERT_TRUE(value.ok()) << answer.choice.content;
  EXPECT_TRUE(valid(schema, schema, *value)) << answer.choice.content;
}

TEST(ConstrainedAnswer, OneOfTheTexts) {
  for (const char* way : kWays) {
    const std::string text =
        ask_at_every_depth(std::string(R"("guided_choice":["granite","gneiss"],)") + way)
            .choice.content;
    EXPECT_TRUE(text == "granite" || text == "gneiss") << text;
  }
}

TEST(ConstrainedAnswer, AnyObject) {
  const Collector answer = ask_at_every_depth(
      R"("response_format":{"type":"json_object"},"temperature":0,"enable_thinking":false)");
  if (answer.choice.finish.cause == Finish::Cause::kLength) return;  // it went on and on
  const auto value = parse_json(answer.choice.content);
  ASSERT_TRUE(value.ok()) << answer.choice.content;
  EXPECT_TRUE(value->is_object());
}

TEST(ConstrainedAnswer, ForcedCalls) {
  for (const char* choice : {R"("required","parallel_tool_calls":false)",
                             R"({"type":"function","function":{"name":"paint"}})"}) {
    for (const char* way : kWays) {
      const Collector answer =
          ask_at_every_depth(std::string(kTools) + R"(,"tool_choice":)" + choice + "," + way);
      const std::string where = std::string(choice) + " " + way;
      ASSERT_EQ(answer.choice.calls.size(), 1u) << where << answer.choice.content;
      const WholeCall& call = answer.choice.calls.front();
      EXPECT_TRUE(call.complete) << where;
      const auto arguments = parse_json(call.arguments);
      ASSERT_TRUE(arguments.ok()) << call.arguments;
      if (call.name == "paint") {
        const Json* colour = arguments->find("colour");
        ASSERT_NE(colour, nullptr) << call.arguments;
        EXPECT_TRUE(*colour == Json("red") || *colour == Json("blue")) << call.arguments;
      } else {
        EXPECT_EQ(call.name, "wait") << where;
      }
      EXPECT_EQ(answer.choice.content, "") << where;
    }
  }
}

TEST(ConstrainedAnswer, NoCallMayStart) {
  const Collector answer =
      ask_at_every_depth(std::string(kTools) + R"(,"tool_choice":"none","temperature":1,"seed":2)");
  const TokenId opener = *loaded().text.tokenizer->find_added("<tool_call>");
  EXPECT_EQ(std::count(answer.ids.begin(), answer.ids.end(), opener), 0);
}

}  // namespace
}  // namespace sluice::server
