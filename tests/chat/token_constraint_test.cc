// The sampler's side of structured output: masks, drafts taken back, thoughts, calls.
#include "chat/grammar/token_constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "chat/grammar_harness.h"
#include "chat/output_harness.h"

namespace sluice::chat::grammar {
namespace {

using Calls = StructuredOutput::Calls;
using Format = StructuredOutput::Format;

std::vector<ToolDeclaration> tools() {
  return tool_declarations(*parse_json(R"([
      {"name": "write", "strict": true, "parameters": {"properties": {"path": {"type": "string"}, "mode": {"enum": ["a", "w", 5]},
         "opts": {"anyOf": [{"type": "object", "properties": {"n": {"type": "integer"}}}, {"type": "null"}]}}, "required": ["path"]}},
      {"name": "now", "parameters": {"properties": {"zone": {"type": "string"}, "n": {"type": "integer"}}}},
      {"name": "any"}])"));
}

CompiledOutput compile(const StructuredOutput& request) {
  static OutputCompiler compiler(small_trie());
  const auto compiled = compiler.compile(request);
  EXPECT_TRUE(compiled.ok()) << (compiled.ok() ? "" : compiled.error().message());
  return compiled.ok() ? *compiled : CompiledOutput{};
}
StructuredOutput calls(Calls how, Format format = Format::kFree) {
  StructuredOutput request;
  request.calls = how;
  request.format = format;
  request.tools = tools();
  return request;
}

std::string call(const std::string& name, const std::string& parameters = "") {
  return "<tool_call>\n<function=" + name + ">\n" + parameters + "</function>\n</tool_call>";
}
std::string parameter(const std::string& name, const std::string& value) {
  return "<parameter=" + name + ">\n" + value + "\n</parameter>\n";
}

TEST(ToolGrammar, RequiredCallsFollowTheSchemas) {
  const auto masks = compile(calls(Calls::kRequired)).masks;
  const std::string path = parameter("path", "a.txt");
  for (const std::string& good :
       {call("write", path), "\n\n" + call("write", path + parameter("mode", "w")),
        call("write", path + parameter("mode", "5")),
        call("write", path + parameter("opts", "{\"n\": 1}")),
        call("write", path + parameter("opts", "null")), call("now"),
        call("now", parameter("zone", "x</parameter>y\n<b>") + parameter("n", "-3")),
        call("any", parameter("k", "v")), call("now") + "\n" + call("now") + call("any"),
        call("write", parameter("path", ""))})
    EXPECT_TRUE(accepts(masks, good)) << good;
  for (const std::string& bad :
       {std::string(), std::string("text"), call("write"), call("other"),
        call("write", parameter("mode", "w") + path), call("write", path + path),
        call("write", path + parameter("mode", "x")),
        call("write", path + parameter("opts", "{\"m\": 1}")), call("now", parameter("n", "x")),
        call("now", parameter("k", "v")), call("now") + "x", call("now") + "\n\n" + call("now"),
        std::string("<tool_call>\n<function=now>\n")})
    EXPECT_FALSE(accepts(masks, bad)) << bad;
  const auto one = compile(calls(Calls::kOne)).masks;
  EXPECT_TRUE(accepts(one, call("now")));
  EXPECT_FALSE(accepts(one, call("now") + "\n" + call("now")));
}

TEST(ToolGrammar, WithAFormatTheDocumentOrCalls) {
  const auto masks = compile(calls(Calls::kOptional, Format::kJsonObject)).masks;
  EXPECT_TRUE(accepts(masks, "\n\n{\"a\": 1}"));
  // Not strict: declared names in any order, with any text.
  EXPECT_TRUE(accepts(masks, call("now", parameter("n", "x") + parameter("zone", "y"))));
  EXPECT_FALSE(accepts(masks, call("now", parameter("k", "x"))));
  EXPECT_FALSE(accepts(masks, "{\"a\": 1}" + call("now")));
}

TEST(ToolGrammar, RefusesByName) {
  OutputCompiler compiler(small_trie());
  StructuredOutput request;
  request.calls = Calls::kRequired;
  const auto refusal = [&](const char* tool) {
    request.tools = tool_declarations(*parse_json(std::string("[") + tool + "]"));
    const auto compiled = compiler.compile(request);
    return compiled.ok() ? "accepted" : compiled.error().message();
  };
  EXPECT_THAT(
      refusal(
          R"({"name": "f", "strict": true, "parameters": {"properties": {"a": {"type": "integer", "minimum": 1}}}})"),
      ::testing::HasSubstr("tool f, schema /properties/a: 'minimum' is not supported"));
  EXPECT_THAT(
      refusal(
          R"({"name": "f", "strict": true, "parameters": {"properties": {"a": {"type": "string", "pattern": "x"}}}})"),
      ::testing::HasSubstr("'pattern' is not supported in a parameter"));
  EXPECT_EQ(
      refusal(
          R"({"name": "f", "parameters": {"properties": {"a": {"type": "integer", "minimum": 1}}}})"),
      "accepted");
  EXPECT_THAT(refusal(R"({"name": "a>b"})"), ::testing::HasSubstr("tool a>b"));
  EXPECT_THAT(refusal(""), ::testing::HasSubstr("no finite text"));
}

// What the grammar lets through is what the parser of calls reads.
TEST(ToolGrammar, TheParserReadsWhatIsAllowed) {
  const auto compiled = compile(calls(Calls::kRequired));
  std::mt19937 random(3);
  for (int round = 0; round < 80; ++round) {
    TokenConstraint constraint(compiled.masks, plain_options());
    std::string text;
    for (int i = 0; i < 400 && !(constraint.can_end() && random() % 4 == 0); ++i) {
      const auto mask = mask_of(constraint);
      std::vector<TokenId> open;
      for (TokenId id = 0; id < kVocabularySize; ++id) {
        if (allowed(mask, id) && id != kStopId) open.push_back(id);
      }
      ASSERT_FALSE(open.empty());
      const TokenId id = open[random() % open.size()];
      ASSERT_TRUE(constraint.advance(id));
      append_plain(small_trie()->bytes(id), text);
    }
    if (!constraint.can_end()) continue;
    TokenTable table;
    OutputMachine machine(table.vocabulary(), {.parse_tools = true, .tools = tools()});
    const Answer answer =
        play(machine, table.tokens(text, [](size_t) { return true; }), OutputEnd::kStopped);
    ASSERT_EQ(answer.broken, "") << text;
    ASSERT_FALSE(answer.calls.empty()) << text;
    ASSERT_TRUE(answer.calls.back().ended);
  }
}

TEST(TokenConstraint, AThoughtIsFreeButForWaysRoundTheGrammar) {
  const auto masks = compile(calls(Calls::kOne)).masks;
  ConstraintOptions options = plain_options();
  options.starts_in_reasoning = true;
  options.think_close = kThinkCloseId;
  TokenConstraint constraint(masks, options);
  EXPECT_FALSE(constraint.can_end());
  EXPECT_FALSE(constraint.must_end());
  for (TokenId id = 0; id < kVocabularySize; ++id)
    EXPECT_EQ(allowed(mask_of(constraint), id), id != kStopId && id != kCallOpenId) << id;
  EXPECT_FALSE(constraint.advance(kStopId));
  EXPECT_FALSE(constraint.advance(kCallOpenId));
  for (const TokenId id : {TokenId{'x'}, kCallCloseId, TokenId{'\n'}})
    EXPECT_TRUE(constraint.advance(id));
  EXPECT_TRUE(constraint.advance(kThinkCloseId));
  EXPECT_TRUE(constraint.binds());
  EXPECT_FALSE(constraint.can_end());
  const auto mask = mask_of(constraint);
  EXPECT_TRUE(allowed(mask, '\n'));
  EXPECT_TRUE(allowed(mask, kCallOpenId));
  for (const TokenId id : {TokenId{'x'}, kThinkCloseId, kStopId, kCallCloseId})
    EXPECT_FALSE(allowed(mask, id));
}

TEST(TokenConstraint, ALazyThoughtMayBeTheWholeAnswer) {
  ConstraintOptions options = plain_options();
  options.lazy = options.starts_in_reasoning = true;
  options.think_close = kThinkCloseId;
  TokenConstraint constraint(compile(calls(Calls::kLazy)).masks, options);
  EXPECT_TRUE(allowed(mask_of(constraint), kStopId));
  EXPECT_FALSE(allowed(mask_of(constraint), kCallOpenId));
  EXPECT_TRUE(constraint.can_end());
  TokenConstraint thought = constraint;
  EXPECT_TRUE(thought.advance(kStopId));
  EXPECT_TRUE(constraint.advance(kThinkCloseId));
  EXPECT_FALSE(constraint.binds());
  EXPECT_TRUE(constraint.advance(kCallOpenId));
}

TEST(TokenConstraint, LazyBindsFromTheOpenerOn) {
  const CompiledOutput compiled = compile(calls(Calls::kLazy));
  ConstraintOptions options = plain_options();
  options.lazy = compiled.lazy;
  TokenConstraint constraint(compiled.masks, options);
  for (int round = 0; round < 2; ++round) {
    EXPECT_FALSE(constraint.binds());
    for (const char c : std::string("free <function=x> text"))
      EXPECT_TRUE(constraint.advance(byte_token(c)));
    EXPECT_TRUE(constraint.advance(kCallOpenId));
    EXPECT_TRUE(constraint.binds());
    EXPECT_FALSE(constraint.can_end());
    EXPECT_FALSE(constraint.advance('x'));
    for (const char c : marked(call("now")).substr(1))
      EXPECT_TRUE(constraint.advance(byte_token(c)));
  }
  EXPECT_FALSE(constraint.binds());
  EXPECT_TRUE(constraint.advance(kStopId));
  EXPECT_FALSE(constraint.advance('x'));
}

TEST(TokenConstraint, StopOnlyAtTheEnd) {
  StructuredOutput request;
  request.format = Format::kJsonObject;
  TokenConstraint constraint(compile(request).masks, plain_options());
  EXPECT_FALSE(constraint.advance(kStopId));
  EXPECT_TRUE(constraint.advance('{'));
  EXPECT_FALSE(constraint.must_end());
  EXPECT_FALSE(allowed(mask_of(constraint), kStopId));
  EXPECT_TRUE(constraint.advance('}'));
  // Only the end is left.
  EXPECT_TRUE(constraint.must_end());
  const auto mask = mask_of(constraint);
  for (TokenId id = 0; id < kVocabularySize; ++id)
    EXPECT_EQ(allowed(mask, id), id == kStopId) << id;
  EXPECT_TRUE(constraint.advance(kStopId));
  for (const uint64_t word : mask_of(constraint)) EXPECT_EQ(word, 0u);
}

// Drafts: forward by some tokens and back gives the same masks as never having gone.
TEST(TokenConstraint, RollbackRestoresEverything) {
  const auto tree = *parse_json(
      R"({"$defs": {"n": {"properties": {"v": {"type": "integer"}, "k": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}}, "$ref": "#/$defs/n"})");
  StructuredOutput request;
  request.format = Format::kJsonSchema;
  request.schema = tree;
  const auto masks = compile(request).masks;
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    TokenConstraint straight(masks, plain_options()), drafting(masks, plain_options());
    for (int i = 0; i < 60; ++i) {
      const size_t here = drafting.position();
      for (int draft = 0; draft < 5; ++draft)
        drafting.advance(static_cast<TokenId>(random() % kVocabularySize));
      drafting.rollback(here);
      const auto mask = mask_of(straight);
      ASSERT_EQ(mask, mask_of(drafting));
      TokenConstraint copy = drafting;
      std::vector<TokenId> open;
      for (TokenId id = 0; id < kVocabularySize; ++id) {
        const bool taken = copy.advance(id);
        ASSERT_EQ(taken, allowed(mask, id)) << id;
        if (taken) copy.rollback(here);
        if (taken && id != kStopId) open.push_back(id);
      }
      if (open.empty()) break;
      const TokenId id = open[random() % open.size()];
      ASSERT_TRUE(straight.advance(id));
      ASSERT_TRUE(drafting.advance(id));
    }
  }
}

TEST(OutputCompiler, RemembersGrammars) {
  OutputCompiler compiler(small_trie(), {.remembered = 2});
  StructuredOutput request;
  request.format = Format::kJsonSchema;
  const auto masks = [&](const char* schema) {
    request.schema = *parse_json(schema);
    return compiler.compile(request)->masks;
  };
  const auto first = masks("{\"type\": \"null\"}");
  EXPECT_EQ(masks("{\"type\": \"null\"}"), first);
  EXPECT_NE(masks("{\"type\": \"integer\"}"), first);
  EXPECT_EQ(masks("{\"type\": \"null\"}"), first);
  masks("{\"type\": \"boolean\"}");
  masks("{\"type\": \"string\"}");
  EXPECT_NE(masks("{\"type\": \"null\"}"), first);  // forgotten, and compiled again
}

TEST(OutputCompiler, ForgetsByBytesToo) {
  OutputCompiler compiler(small_trie(), {.remembered_bytes = 1});
  StructuredOutput request;
  request.format = Format::kJsonObject;
  const auto first = compiler.compile(request)->masks;
  EXPECT_EQ(compiler.compile(request)->masks, first);  // the last one stays
  request.white_space = WhiteSpace::kNone;
  ASSERT_TRUE(compiler.compile(request).ok());
  request.white_space = WhiteSpace::kBounded;
  EXPECT_NE(compiler.compile(request)->masks, first);
}

TEST(OutputCompiler, BoundsWorkAndMemoryOfOneGrammar) {
  StructuredOutput request;
  request.format = Format::kJsonObject;
  const auto masks = OutputCompiler(small_trie()).compile(request)->masks;
  const auto within = [&](const MaskLimits& limits) {
    const auto compiled = OutputCompiler(small_trie(), {.masks = limits}).compile(request);
    if (!compiled.ok()) {
      EXPECT_EQ(compiled.error().what, "schema");
      EXPECT_THAT(compiled.error().why, ::testing::HasSubstr("too large"));
    }
    return compiled.ok();
  };
  EXPECT_GT(masks->steps(), 0);
  EXPECT_TRUE(within({.steps = masks->steps()}));
  EXPECT_FALSE(within({.steps = masks->steps() - 1}));
  EXPECT_TRUE(within({.bytes = masks->memory_bytes()}));
  EXPECT_FALSE(within({.bytes = 1000}));
}

TEST(OutputCompiler, OneOfSomeTexts) {
  StructuredOutput request;
  request.format = Format::kChoice;
  request.schema = *parse_json(R"(["yes", "no", "not {sure}"])");
  const auto masks = compile(request).masks;
  for (const char* good : {"yes", "no", "not {sure}", "\n\nyes"}) EXPECT_TRUE(accepts(masks, good));
  for (const char* bad : {"", "y", "\"yes\"", "nox", "yes "})
    EXPECT_FALSE(accepts(masks, bad)) << bad;
}

}  // namespace
}  // namespace sluice::chat::grammar
