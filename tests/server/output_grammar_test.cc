// From requests to grammars: what is compiled, for which answer, and what is refused.
#include "server/core/output_grammar.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/model_fixture.h"

namespace sluice::server {
namespace {

using chat::grammar::StructuredOutput;
using Calls = StructuredOutput::Calls;
using Choice = ToolPolicy::Choice;
using Format = StructuredOutput::Format;

chat::ToolDeclaration tool(const char* name, bool strict = false, const char* parameters = "{}") {
  return {name, *parse_json(parameters), strict};
}
OutputConstraint schema(const char* text, bool strict = true) {
  return {OutputConstraint::Kind::kJsonSchema, *parse_json(text), strict, true, "response_format"};
}

TEST(StructuredOutputOf, NothingWhereTheAnswerIsFree) {
  GenerationRequest request;
  EXPECT_FALSE(structured_output(request));
  request.tools.declarations = {tool("f")};
  EXPECT_FALSE(structured_output(request));
  request.tools.declarations = {tool("f", true)};
  request.tools.choice = Choice::kNone;
  EXPECT_FALSE(structured_output(request));
}

TEST(StructuredOutputOf, ChoicesOfTools) {
  GenerationRequest request;
  request.tools.declarations = {tool("f"), tool("g", true), tool("h")};
  EXPECT_EQ(structured_output(request)->calls, Calls::kLazy);
  EXPECT_EQ(structured_output(request)->tools.size(), 3u);
  request.tools.allowed = {"f", "h"};
  EXPECT_EQ(structured_output(request)->calls, Calls::kLazy) << "the names are restricted";
  EXPECT_EQ(structured_output(request)->tools.size(), 2u);
  request.tools.choice = Choice::kRequired;
  EXPECT_EQ(structured_output(request)->calls, Calls::kRequired);
  EXPECT_EQ(structured_output(request)->tools.back().name, "h");
  request.tools.parallel = false;
  EXPECT_EQ(structured_output(request)->calls, Calls::kOne);
  request.tools = {Choice::kNamed, "g", {}, true, request.tools.declarations};
  EXPECT_EQ(structured_output(request)->calls, Calls::kOne);
  ASSERT_EQ(structured_output(request)->tools.size(), 1u);
  EXPECT_EQ(structured_output(request)->tools[0].name, "g");
}

TEST(StructuredOutputOf, FormatsBesideTools) {
  GenerationRequest request;
  request.constraint = schema("{}");
  EXPECT_EQ(structured_output(request)->format, Format::kJsonSchema);
  EXPECT_TRUE(structured_output(request)->strict);
  EXPECT_EQ(structured_output(request)->calls, Calls::kNone);
  request.tools.declarations = {tool("f")};
  EXPECT_EQ(structured_output(request)->calls, Calls::kOptional);
  request.tools.choice = Choice::kNone;
  EXPECT_EQ(structured_output(request)->calls, Calls::kNone);
  request.tools.choice = Choice::kRequired;
  EXPECT_EQ(structured_output(request)->format, Format::kFree) << "a forced call goes before it";
}

TEST(OutputGrammars, RefusalsNameTheField) {
  OutputGrammars grammars(test::model_text());
  const auto error = [&](const GenerationRequest& request) {
    const auto compiled = grammars.compile(request, *structured_output(request));
    EXPECT_FALSE(compiled.ok());
    return compiled.ok() ? Error{} : compiled.error();
  };
  GenerationRequest request;
  request.constraint = schema(R"({"type":"string","pattern":"a"})");
  EXPECT_EQ(error(request).what, "response_format");
  EXPECT_THAT(error(request).why, testing::HasSubstr("'pattern'"));
  request.tools.declarations = {
      tool("f", true, R"({"properties":{"a":{"type":"number","minimum":1}}})")};
  request.constraint = schema("{}");
  EXPECT_EQ(error(request).what, "tools");
  EXPECT_THAT(error(request).why, testing::HasSubstr("tool f, schema /properties/a: 'minimum'"));
  request.constraint.reset();
  EXPECT_EQ(error(request).what, "tools");
  // What takes too long or too much is refused as well, whatever its keywords.
  request.tools = {};
  std::string texts;
  for (int i = 0; i < 30; ++i) {
    texts +=
        fmt::format(R"({}"p{}":{{"type":"string","maxLength":{}}})", i == 0 ? "" : ",", i, 220 + i);
  }
  request.constraint = schema((R"({"type":"object","properties":{)" + texts + "}}").c_str());
  EXPECT_EQ(error(request).what, "response_format");
}

// Takes the text's tokens one by one; how many were allowed, and whether the answer is whole then.
struct Followed {
  size_t taken = 0, tokens = 0;
  bool complete = false;
};
Followed follow(const GenerationRequest& request, const std::string& text, bool thinking_open) {
  OutputGrammars grammars(test::model_text());
  const auto compiled = grammars.compile(request, *structured_output(request));
  EXPECT_TRUE(compiled.ok()) << (compiled.ok() ? "" : compiled.error().message());
  const ModelText& model = test::model_text();
  const auto mask = token_grammar(*compiled, request, model, thinking_open)->begin();
  std::vector<uint64_t> allowed(runtime::mask_words(static_cast<size_t>(model.vocabulary)));
  const auto ids = *model.tokenizer->encode(text);
  Followed followed{0, ids.size(), false};
  for (const TokenId id : ids) {
    const size_t position = mask->position();
    mask->fill(allowed);
    const bool allows = runtime::allows(allowed, id);
    EXPECT_EQ(mask->accept(id), allows) << text;
    if (!allows) break;
    mask->rollback(position);
    EXPECT_TRUE(mask->accept(id));
    ++followed.taken;
  }
  followed.complete = mask->complete();
  return followed;
}

TEST(TokenGrammarOf, BindsBehindTheThought) {
  GenerationRequest request;
  request.constraint =
      schema(R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]})");
  const std::string answer = "{\"a\": 12}";
  const auto whole = [](const Followed& followed) {
    return followed.taken == followed.tokens && followed.complete;
  };
  EXPECT_TRUE(whole(follow(request, answer, false)));
  EXPECT_TRUE(whole(follow(request, "hm, {}\n</think>\n\n" + answer, true)));
  EXPECT_LT(follow(request, "hm", false).taken, 2u);
  EXPECT_FALSE(follow(request, "hm" + answer, true).complete) << "all of it is thought";
  EXPECT_EQ(follow(request, "<|im_end|>", true).taken, 0u) << "an answer has to follow";
  EXPECT_EQ(follow(request, "<think>", false).taken, 0u);
}

TEST(TokenGrammarOf, StopTokensOfTheRequest) {
  GenerationRequest request;
  request.constraint = schema(R"({"type":"integer"})");
  const ModelText& model = test::model_text();
  EXPECT_EQ(follow(request, "12<|im_end|>", false).taken, 3u);
  request.stop.ignore_eos = true;
  EXPECT_EQ(follow(request, "12<|im_end|>", false).taken, 2u);
  // One that is text is allowed where the grammar has it, one that is not where it can end.
  request.stop.ids = {*model.tokenizer->find_added("<|im_start|>"),
                      model.tokenizer->encode("2")->front()};
  EXPECT_EQ(follow(request, "121<|im_start|>", false).taken, 4u);
}

TEST(TokenGrammarOf, ForcedCalls) {
  GenerationRequest request;
  request.tools.declarations = {tool("f"), tool("g")};
  request.tools.choice = Choice::kNamed;
  request.tools.name = "g";
  const auto call = [](const char* name) {
    return std::string("<tool_call>\n<function=") + name + ">\n</function>\n</tool_call>";
  };
  EXPECT_TRUE(follow(request, call("g"), false).complete);
  EXPECT_TRUE(follow(request, "hm\n</think>\n\n" + call("g"), true).complete);
  EXPECT_FALSE(follow(request, call("f"), false).complete);
  request.tools.choice = Choice::kRequired;
  const Followed both = follow(request, call("f") + "\n" + call("g") + "<|im_end|>", false);
  EXPECT_EQ(both.taken, both.tokens);
  EXPECT_FALSE(follow(request, call("f"), false).complete) << "another one may follow";
}

}  // namespace
}  // namespace sluice::server
