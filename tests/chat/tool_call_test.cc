// Tool calls in the model's output. R1 to R13 are the defects of public parsers that
// serving-tools.md 3.6 lists.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "chat/calls/loose_json.h"
#include "chat/output_harness.h"
#include "chat/output_machine.h"

namespace sluice::chat {
namespace {

std::vector<ToolDeclaration> tools() {
  const auto parsed = parse_json(R"([
    {"type": "function", "function": {"name": "write", "parameters": {"type": "object", "properties":
      {"path": {"type": "string"}, "text": {"type": "string"}}, "required": ["path", "text"]}}},
    {"type": "function", "function": {"name": "add", "strict": true, "parameters": {"properties":
      {"a": {"type": "integer"}, "b": {"type": "number"}, "exact": {"type": "boolean"},
       "tags": {"type": "array"}, "unit": {"type": "string", "enum": ["m", "s"]}}}}},
    {"name": "now"}, {"nothing": 1}])");
  return tool_declarations(*parsed);
}

struct Setting {
  bool thinking = false, parse = true, parallel = true;
  OutputEnd how = OutputEnd::kStopped;
};

struct Outcome {
  Answer answer;
  std::string completion;
  int64_t reasoning_tokens = 0;
};

template <typename Cut>
Outcome run_cut(const std::string& text, const Setting& options, Cut cut) {
  TokenTable table;
  const TokenTable::Ids ids = table.tokens(text, cut);
  OutputMachine machine(table.vocabulary(), {.starts_in_reasoning = options.thinking,
                                             .parse_tools = options.parse,
                                             .tools = tools(),
                                             .parallel_calls = options.parallel});
  Outcome outcome;
  outcome.answer = play(machine, ids, options.how);
  EXPECT_EQ(outcome.answer.broken, "");
  outcome.completion = machine.arguments_completion();
  outcome.reasoning_tokens = machine.reasoning_tokens();
  return outcome;
}

// One character a token, and (R3) the same answer for the whole text between two markers in one
// token and for a cut at every position.
Answer answer_to(const std::string& text, const Setting& options = {}) {
  const Answer answer = run_cut(text, options, [](size_t) { return true; }).answer;
  EXPECT_EQ(run_cut(text, options, [](size_t) { return false; }).answer, answer) << text;
  for (size_t split = 1; split < text.size(); ++split) {
    EXPECT_EQ(run_cut(text, options, [&](size_t at) { return at == split; }).answer, answer)
        << text << "\ncut at " << split;
  }
  return answer;
}

Answer expected(std::string reasoning, std::string content, std::vector<Call> calls) {
  return {std::move(reasoning), std::move(content), std::move(calls), true, {}};
}

const std::string kWrite =
    "<tool_call>\n<function=write>\n<parameter=path>\na.txt\n</parameter>\n<parameter=text>\nx\n"
    "</parameter>\n</function>\n</tool_call>";
const Call kWritten = {"write", R"({"path": "a.txt", "text": "x"})", true};
const Call kNow = {"now", "{}", true};

// A value of the string parameter `text`, written as the template writes it.
std::string write_call(const std::string& value) {
  return "<tool_call>\n<function=write>\n<parameter=text>\n" + value +
         "\n</parameter>\n</function>\n</tool_call>";
}
std::string text_written(const std::string& value) {
  Json arguments = Json::object();
  arguments.set("text", value);
  std::string json;
  append_spaced_json(arguments, json);
  return json;
}

TEST(ToolCall, TextCallsAndTextAgain) {
  EXPECT_EQ(answer_to("Hm.\n</think>\n\nI will.\n\n" + kWrite + "\n" +
                          "<tool_call>\n<function=now>\n</function>\n</tool_call>\n\nDone.\n",
                      {.thinking = true}),
            expected("Hm.", "I will.\n\nDone.\n", {kWritten, kNow}));
  EXPECT_EQ(answer_to("\n\n" + kWrite + "\n  \n"), expected("", "", {kWritten}));
}

TEST(ToolCall, R1_WithinAnUnclosedThought) {
  EXPECT_EQ(answer_to("So I call.\n\n" + kWrite, {.thinking = true}),
            expected("So I call.", "", {kWritten}));
  // Its tokens are not the thought's: ten before it.
  const Outcome outcome =
      run_cut("0123456789" + kWrite, {.thinking = true}, [](size_t) { return true; });
  EXPECT_EQ(outcome.reasoning_tokens, 10);
}

TEST(ToolCall, R2_AMentionIsText) {
  const std::string prose =
      "Write <tool_call> and </tool_call>, or <tool_call>\n<func, then go on.";
  EXPECT_EQ(answer_to(prose), expected("", prose, {}));
  EXPECT_EQ(answer_to(prose + "</think>\n\n" + prose, {.thinking = true}),
            expected(prose, prose, {}));
  EXPECT_EQ(answer_to(prose + kWrite, {.parse = false}), expected("", prose + kWrite, {}));
  for (const char* none :
       {"<tool_call>", "<tool_call> \n", "<tool_call><function=", "<tool_call><function=>x",
        "<tool_call><function=now", "<tool_call><tool_call>x", "<tool_call>{\"name\"",
        "<tool_call>{x", "<tool_call>{\"name\": 5}", "<tool_call>[{\"name\": \"now\"}]"}) {
    std::string kept = none;
    EXPECT_EQ(answer_to(none), expected("", kept, {})) << none;
    while (kept.back() == ' ' || kept.back() == '\n') kept.pop_back();
    EXPECT_EQ(answer_to(none, {.thinking = true}), expected(kept, "", {})) << none;
  }
  // Every token of it was a thought's.
  EXPECT_EQ(
      run_cut("a<tool_call>\nb", {.thinking = true}, [](size_t) { return true; }).reasoning_tokens,
      4);
}

TEST(ToolCall, AnOpenerWaitsSixteenTokens) {
  const auto calls_after = [&](size_t gaps) {
    const std::string text = "<tool_call>" + std::string(gaps, '\n') + "<function=f></function>";
    return run_cut(text, {.thinking = true}, [](size_t) { return true; }).answer.calls.size();
  };
  EXPECT_EQ(calls_after(14), 1u);
  EXPECT_EQ(calls_after(15), 0u);
  EXPECT_EQ(calls_after(500), 0u);
}

TEST(ToolCall, R3_EveryMarkerOfParallelCalls) {
  EXPECT_EQ(answer_to(kWrite + kWrite + "\n" + kWrite),
            expected("", "", {kWritten, kWritten, kWritten}));
}

TEST(ToolCall, R4_MissingWrappersAndClosers) {
  const std::string now = "<function=now>\n</function>";
  EXPECT_EQ(answer_to(now), expected("", "", {kNow}));
  EXPECT_EQ(answer_to("Well:\n" + now + "\n</tool_call>"), expected("", "Well:\n", {kNow}));
  EXPECT_EQ(answer_to(now + "\n" + now), expected("", "", {kNow, kNow}));
  EXPECT_EQ(answer_to("a " + now), expected("", "a " + now, {}));  // not at a line's start
  EXPECT_EQ(answer_to("<function=other>"), expected("", "<function=other>", {}));  // not declared
  EXPECT_EQ(answer_to("<function=no\nw>"), expected("", "<function=no\nw>", {}));
  EXPECT_EQ(answer_to(now, {.thinking = true}), expected(now, "", {}));
  EXPECT_EQ(answer_to("<tool_call>\n<function=now>\n</tool_call>x"), expected("", "x", {kNow}));
  EXPECT_EQ(answer_to("<tool_call>\n<function=now>\n"), expected("", "", {kNow}));
  EXPECT_EQ(answer_to("<tool_call>\n<function=now>\n<tool_call>\n<function=now>\n<function=now>"),
            expected("", "", {kNow, kNow, kNow}));
  // A value without its closer ends at the next parameter's tag, at the function's end, at the end.
  for (const char* end : {"\n</function>\n</tool_call>", "\n</function>", "\n</tool_call>", ""}) {
    EXPECT_EQ(
        answer_to("<tool_call>\n<function=write>\n<parameter=path>\na.txt\n<parameter=text>\nx" +
                  std::string(end)),
        expected("", "", {kWritten}))
        << end;
    EXPECT_EQ(answer_to("<tool_call><function=add><parameter=a>\n1" + std::string(end)),
              expected("", "", {{"add", R"({"a": 1})", true}}))
        << end;
  }
}

TEST(ToolCall, R5_ArgumentsComeAsTheyAreWritten) {
  TokenTable table;
  OutputMachine machine(table.vocabulary(), {.parse_tools = true, .tools = tools()});
  const auto push = [&](const std::string& text) {
    std::string arguments;
    for (const OutputEvent& event : machine.push(table.tokens(text, [](size_t) { return true; }))) {
      if (event.kind == OutputEvent::Kind::kToolStart) arguments += event.text + "|";
      if (event.kind == OutputEvent::Kind::kToolArguments) arguments += event.text;
    }
    return arguments;
  };
  EXPECT_EQ(push("<tool_call>\n<function=write>"), "write|{");
  EXPECT_EQ(push("\n<parameter=text>"), "\"text\": \"");
  EXPECT_EQ(push("\nHello, \"w"), "Hello, \\\"w");
  EXPECT_EQ(push("\n"), "");  // may be the markup's
  EXPECT_EQ(push("</para"), "");
  EXPECT_EQ(push("graph>\n"), "\\n</paragraph>");
  EXPECT_EQ(push("</parameter>\n"), "");
  EXPECT_EQ(push("</function>"), "\"}");
}

TEST(ToolCall, R6_ThinkingOff) {
  EXPECT_EQ(answer_to("</think>" + kWrite), expected("", "", {kWritten}));
  EXPECT_EQ(answer_to("\n<think>\nSo\n</think>\n\n" + kWrite), expected("So", "", {kWritten}));
}

TEST(ToolCall, R11_ACloserTooMany) {
  EXPECT_EQ(answer_to("<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</parameter>\n"
                      "</function>\n</tool_call>"),
            expected("", "", {{"add", R"({"a": 1})", true}}));
  EXPECT_EQ(answer_to("<tool_call>\n<function=now>\n</parameter>\n</function></tool_call>"),
            expected("", "", {kNow}));
  // A file may end so; then its own tag was opened before.
  const std::string xml = "<parameter name=\"a\">\n1\n</parameter>";
  EXPECT_EQ(answer_to(write_call(xml)), expected("", "", {{"write", text_written(xml), true}}));
}

TEST(ToolCall, R12_MalformedTagsOfParameters) {
  const auto call = [](const std::string& body) {
    return "<tool_call>\n<function=write>\n" + body + "\n</function>\n</tool_call>";
  };
  const Answer right = expected("", "", {{"write", R"({"path": "create"})", true}});
  EXPECT_EQ(answer_to(call("<parameter=path=create</parameter>")), right);
  EXPECT_EQ(answer_to(call("<parameter=path=create</parameter>\n</parameter>")), right);
  EXPECT_EQ(answer_to(call("<parameter=path\ncreate\n</parameter>")), right);
  EXPECT_EQ(answer_to(call("<parameter= \"path\" >create</parameter>")), right);
  EXPECT_EQ(answer_to(call("junk </j <parameter=path>create</parameter>")), right);
  EXPECT_EQ(answer_to(call("<parameter=path\na > b\n</parameter>")),
            expected("", "", {{"write", R"({"path": "a > b"})", true}}));
  EXPECT_EQ(answer_to(call("<parameter=path</parameter>")),
            expected("", "", {{"write", R"({"path": ""})", true}}));
  EXPECT_EQ(answer_to("<tool_call>\n<function=write>\n<parameter=path</tool_call>"),
            expected("", "", {{"write", "{}", true}}));
}

TEST(ToolCall, R13_TypesBySchema) {
  EXPECT_EQ(
      answer_to("<tool_call>\n<function=add>\n<parameter=a>\n123456789012345678901\n</parameter>\n"
                "<parameter=b>\n.5\n</parameter>\n<parameter=exact>\nTrue\n</parameter>\n"
                "<parameter=tags>\n['x', &lt;]\n</parameter>\n<parameter=unit>\nm\n</parameter>\n"
                "<parameter=new>\nnull\n</parameter>\n</function>\n</tool_call>"),
      expected("", "",
               {{"add",
                 R"({"a": 123456789012345678901, "b": 0.5, "exact": true, )"
                 R"("tags": "['x', &lt;]", "unit": "m", "new": "null"})",
                 true}}));
  EXPECT_EQ(answer_to(write_call(" a\tb \n\n")),
            expected("", "", {{"write", text_written(" a\tb \n\n"), true}}));
}

TEST(ToolCall, ValuesMayHoldTheMarkup) {
  for (const char* value :
       {"<parameter=a>1</parameter> and more", "</parameter>x", "</function>\nx",
        "</parameter>\n\n</p", "a\n<parameter=other>\nb", "x<parameter=path>y", "<function=now>",
        "<tool_call>\n<function=now>", "</tool_call> x", "<think>a</think>",
        "x</function>\n</tool_call>y", "</parameter></parameter>z", "\n<parameter=\n",
        "</function>\n</function>\nx", "<parameter=text>\nx", "🙂</parameter>🙂"}) {
    EXPECT_EQ(answer_to(write_call(value)),
              expected("", "", {{"write", text_written(value), true}}))
        << value;
  }
}

TEST(ToolCall, InlineStyleAndRepeatedParameters) {
  EXPECT_EQ(
      answer_to("<tool_call><function=add><parameter=a>1</parameter><parameter=a>2</parameter>"
                "<parameter=b>3</parameter></function></tool_call>"),
      expected("", "", {{"add", R"({"a": 1, "b": 3})", true}}));
}

TEST(ToolCall, Names) {
  const auto name_of = [](const std::string& tag) {
    const Answer answer = answer_to("<tool_call>\n" + tag + "\n</function>\n</tool_call>");
    return answer.calls.size() == 1 ? answer.calls[0].name : answer.content;
  };
  EXPECT_EQ(name_of("<function=NOW>"), "now");
  EXPECT_EQ(name_of("<function= 'now' >"), "now");
  EXPECT_EQ(name_of("<function name=\"now\">"), "now");
  EXPECT_EQ(name_of("<function\nname= \"now\" >"), "now");
  EXPECT_EQ(name_of("<function=now"), "now");
  EXPECT_EQ(name_of("<function=unheard.of>"), "unheard.of");
  EXPECT_EQ(answer_to("<tool_call><function=now</function></tool_call>"), expected("", "", {kNow}));
  EXPECT_EQ(answer_to("<tool_call>\n<function=wri<function=now>\n</function></tool_call>"),
            expected("", "<tool_call>\n<function=wri", {kNow}));
  EXPECT_EQ(
      answer_to("<tool_call>\n<function=wri<tool_call>\n<function=now>\n</function></tool_call>"),
      expected("", "<tool_call>\n<function=wri", {kNow}));
  const std::string endless = "<tool_call><function=" + std::string(300, 'x');
  EXPECT_EQ(answer_to(endless), expected("", endless, {}));
}

TEST(ToolCall, JsonOfOlderModels) {
  const auto call = [](const std::string& json) {
    return "<tool_call>\n" + json + "\n</tool_call>\n";
  };
  const Answer right = expected("", "", {{"add", R"({"b": 1.0, "a": "1"})", true}});
  EXPECT_EQ(answer_to(call(R"({"name": "add", "arguments": {"b":1.0,"a":"1"}})")), right);
  EXPECT_EQ(answer_to(call(R"({"name": "add", "parameters": "{\"b\":1.0,\"a\":\"1\"}"})")), right);
  EXPECT_EQ(answer_to(call(R"({"name": "now"})") + call(R"({"arguments": null, "name": "now"})")),
            expected("", "", {kNow, kNow}));
  EXPECT_EQ(answer_to(call(R"({"name": "add", "arguments": "1 + 1"})")),
            expected("", "", {{"add", R"({"_raw_arguments": "1 + 1"})", true}}));
  EXPECT_EQ(answer_to("Hm " + call(R"({"name": "write", "arguments": {"text": "}</tool_call>{"}})"),
                      {.thinking = true}),
            expected("Hm", "", {{"write", R"({"text": "}</tool_call>{"})", true}}));
}

TEST(ToolCall, OnlyOneIfParallelCallsAreOff) {
  const Setting one = {.parallel = false};
  EXPECT_EQ(answer_to(kWrite + "\n" + kWrite, one), expected("", "", {kWritten}));
  EXPECT_EQ(answer_to("x" + kWrite + "never read", one), expected("", "x", {kWritten}));
  EXPECT_EQ(answer_to("<tool_call><function=now><function=now>", one), expected("", "", {kNow}));
  TokenTable table;
  OutputMachine machine(table.vocabulary(),
                        {.parse_tools = true, .tools = tools(), .parallel_calls = false});
  machine.push(table.tokens(kWrite, [](size_t) { return true; }));
  EXPECT_TRUE(machine.ended());
}

TEST(ToolCall, CutByALimit) {
  const Setting cut = {.how = OutputEnd::kCut};
  // Wherever it is cut, what came is a prefix of the whole, and the completion makes it JSON.
  const std::string text =
      "<tool_call>\n<function=write>\n<parameter=path>\na\"b\n</"
      "parameter>\n<parameter=text>\nx\\\n</parameter>\n"
      "<parameter=n>\n5\n</parameter>\n</function>\n</tool_call>";
  const std::string whole = answer_to(text).calls.at(0).arguments;
  const size_t name_read = text.find(">\n<parameter") + 1;
  const size_t closed = text.find("</function>") + 11;
  for (size_t size = 12; size <= text.size(); ++size) {
    if (size > closed && size < text.size()) continue;  // within a marker
    const Outcome outcome = run_cut(text.substr(0, size), cut, [](size_t) { return true; });
    ASSERT_EQ(outcome.answer.calls.size(), size >= name_read ? 1u : 0u) << size;
    if (outcome.answer.calls.empty()) continue;
    const Call& call = outcome.answer.calls[0];
    EXPECT_EQ(call.ended, size >= closed);
    EXPECT_EQ(whole.substr(0, call.arguments.size()), call.arguments);
    EXPECT_TRUE(parse_json(call.arguments + outcome.completion).ok())
        << call.arguments << outcome.completion;
  }
  EXPECT_EQ(answer_to("x<tool_call>\n<func", cut), expected("", "x<tool_call>\n<func", {}));
}

TEST(ToolCall, Declarations) {
  const auto declared = tools();
  ASSERT_EQ(declared.size(), 3u);
  EXPECT_EQ(declared[0].name, "write");
  EXPECT_FALSE(declared[0].strict);
  EXPECT_TRUE(declared[1].strict);
  EXPECT_TRUE(declared[2].parameters.is_null());
  EXPECT_TRUE(tool_declarations(Json()).empty());
}

}  // namespace
}  // namespace sluice::chat
