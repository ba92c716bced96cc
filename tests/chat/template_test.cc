// The contract of ChatTemplate: variables, errors with their place, bounds.
#include "chat/template.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace sluice::chat {
namespace {

TemplateInput simple_input() {
  TemplateInput input;
  input.messages = *parse_json(R"([{"role": "user", "content": "hi"}])");
  return input;
}

std::string render(const std::string& source, const TemplateInput& input = simple_input()) {
  TemplateError where;
  const auto chat_template = ChatTemplate::parse(source, &where);
  if (!chat_template.ok()) return "!" + where.message;
  const auto rendered = chat_template->render(input, &where);
  return rendered.ok() ? rendered->text : "!" + where.message;
}

TEST(Template, VariablesThatAreAlwaysThere) {
  EXPECT_EQ(
      render("{{ tools is none }}{{ documents is none }}{{ add_generation_prompt is false }}"),
      "TrueTrueTrue");
  EXPECT_EQ(render("{{ bos_token is defined }}{{ eos_token is defined }}"), "FalseFalse");
  TemplateInput input = simple_input();
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  EXPECT_EQ(render("{{ bos_token }}{{ eos_token }}", input), "<s></s>");
}

TEST(Template, KwargsMayReplaceSpecialTokensButNotTheRequest) {
  TemplateInput input = simple_input();
  input.bos_token = "<s>";
  input.chat_template_kwargs = *parse_json(R"({"bos_token": "mine", "range": 3})");
  EXPECT_EQ(render("{{ bos_token }}{{ range }}", input), "mine3");
  input.chat_template_kwargs = *parse_json(R"({"messages": []})");
  const auto refused = ChatTemplate::parse("x")->render(input);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().what, "chat_template_kwargs.messages");
}

TEST(Template, TimeIsTheGivenOne) {
  TemplateInput input = simple_input();
  input.now = "2026-01-31T12:34:56";
  EXPECT_EQ(render("{{ strftime_now('%d %B %Y, %A %H:%M:%S') }}", input),
            "31 January 2026, Saturday 12:34:56");
  EXPECT_EQ(render("{{ strftime_now('') }}|", input), "|");
  for (const char* bad :
       {"2026-02-30T00:00:00", "2026-01-31", "2026-01-31T25:00:00", "x026-01-31T12:00:00", ""}) {
    input.now = bad;
    EXPECT_FALSE(ChatTemplate::parse("x")->render(input).ok()) << bad;
  }
}

TEST(Template, ParseErrorsHaveTheirPlace) {
  TemplateError where;
  const auto parsed = ChatTemplate::parse("a\n{% if x %}\n  {{ y|nope }}\n{% endif %}", &where);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(where.message, "TemplateAssertionError: No filter named 'nope'.");
  EXPECT_EQ(where.line, 3);
  EXPECT_EQ(where.column, 8);
  EXPECT_FALSE(ChatTemplate::parse("é{{ 1 + }}", &where).ok());
  EXPECT_EQ(where.line, 1);
  EXPECT_EQ(where.column, 9);  // characters, not bytes
  for (const char* unsupported :
       {"{% include 'x' %}", "{% extends 'x' %}", "{% block a %}{% endblock %}",
        "{% import 'x' as y %}", "{% from 'x' import y %}",
        "{% autoescape true %}{% endautoescape %}", "{% for a in b recursive %}{% endfor %}"}) {
    EXPECT_FALSE(ChatTemplate::parse(unsupported, &where).ok()) << unsupported;
    EXPECT_TRUE(where.message.starts_with("Unsupported: ")) << where.message;
    EXPECT_EQ(where.line, 1);
  }
  EXPECT_FALSE(ChatTemplate::parse("\xff").ok());
}

TEST(Template, RenderErrorsHaveTheirPlace) {
  TemplateError where;
  const auto parsed =
      ChatTemplate::parse("{% macro m(x) %}\n\n  {{ 1 + x }}\n{% endmacro %}\n{{ m('a') }}");
  const auto rendered = parsed->render(simple_input(), &where);
  ASSERT_FALSE(rendered.ok());
  EXPECT_EQ(rendered.error().code, ErrorCode::kUsage);
  EXPECT_EQ(where.message, "TypeError: unsupported operand type(s) for +: 'int' and 'str'");
  EXPECT_EQ(where.line, 3);
  EXPECT_EQ(where.column, 8);
  EXPECT_NE(rendered.error().message().find("line 3, column 8"), std::string::npos);
}

TEST(Template, IntegersBeyond64BitsAreCarriedButNotComputedWith) {
  TemplateInput input = simple_input();
  input.chat_template_kwargs =
      *parse_json(R"({"n": 123456789012345678901234567890, "m": -9223372036854775808})");
  EXPECT_EQ(render("{{ n }} {{ [n]|tojson }} {{ n == n }} {{ n > 1 }} {{ m }}", input),
            "123456789012345678901234567890 [123456789012345678901234567890] True True "
            "-9223372036854775808");
  for (const char* expression : {"n + 1", "-n", "m - 1", "-m", "m * m", "m // -1",
                                 "9223372036854775807 + 1", "2 ** 64", "m|abs"}) {
    EXPECT_EQ(render(std::string("{{ ") + expression + " }}", input),
              "!Unsupported: integers beyond 64 bits are not computed with")
        << expression;
  }
  EXPECT_EQ(render("{{ m % -1 }}", input), "0");
}

// Each of these would run for hours, fill the memory or overflow the stack.
TEST(Template, RenderingIsBounded) {
  const std::string many = "{% for a in range(100000) %}{% for b in range(100000) %}";
  for (const std::string& source : {
           many + "{% endfor %}{% endfor %}",
           many + "x{{ 'y' * 10000 }}{% endfor %}{% endfor %}",
           std::string("{% set ns = namespace(x='a') %}{% for i in range(1000) %}{% set ns.x = "
                       "ns.x ~ ns.x %}{% endfor %}"),
           std::string("{% set ns = namespace(x='a') %}{% for i in range(1000) %}{% set ns.x = "
                       "ns.x + ns.x %}{% endfor %}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(1000) %}{% set ns.x = "
                       "ns.x + ns.x %}{% endfor %}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(1000) %}{% set ns.x = "
                       "[ns.x, ns.x] %}{% endfor %}{{ ns.x }}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = "
                       "[ns.x, ns.x] %}{% endfor %}{{ ns.x }}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = "
                       "[ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x }}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = "
                       "[ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}"),
           std::string("{% set ns = namespace(x=[1]) %}{% for i in range(10000) %}{% set ns.x = "
                       "ns.x|map('upper') %}{% endfor %}{{ ns.x|list }}"),
           std::string("{{ 'x' * 10000000000 }}"),
           std::string("{{ [0] * 1000000000 }}"),
           std::string("{{ 'x'.center(1000000000000) }}"),
           std::string("{{ '%1000000d' % 1 }}"),
           std::string("{{ '{:>999999999}'.format(1) }}"),
           std::string("{{ range(1000000) }}"),
           std::string("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
           std::string("{% macro m(x) %}{% call m(x) %}{{ caller() }}{% endcall %}{% endmacro %}{{ "
                       "m(1) }}"),
           std::string("{{ 'a'|replace('', 'x' * 1000000)|replace('x', 'y' * 1000000) }}"),
           std::string("{{ ('x' * 1000000)|indent(1000000, true) }}") +
               "{{ ('\n' * 1000000)|indent(1000000, blank=true) }}",
           std::string("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}"),
           std::string("{{ [[]] * 100000 * 100000 }}"),
           std::string("{{ {'a': 'x' * 50000000}|tojson ~ {'a': 'x' * 50000000}|tojson }}{{ 'x' * "
                       "50000000 }}{{ 'x' * 50000000 }}"),
       }) {
    const std::string result = render(source);
    EXPECT_TRUE(result.starts_with("!Unsupported") || result.starts_with("!RecursionError") ||
                result.starts_with("!MemoryError") || result.starts_with("!OverflowError"))
        << source << " gives " << result.substr(0, 200);
  }
}

TEST(Template, DeepSourceIsRefusedNotCrashed) {
  const auto nested = [](const std::string& open, const std::string& close) {
    std::string source = "{{ ";
    for (int i = 0; i < 100000; ++i) source += open;
    source += "1";
    for (int i = 0; i < 100000; ++i) source += close;
    return source + " }}";
  };
  for (const auto& [open, close] :
       std::vector<std::pair<std::string, std::string>>{{"(", ")"},
                                                        {"[", "]"},
                                                        {"-", ""},
                                                        {"not ", ""},
                                                        {"", "|e"},
                                                        {"", ".a"},
                                                        {"", "[0]"},
                                                        {"", "()"},
                                                        {"1+", ""},
                                                        {"1 if ", " else 1"},
                                                        {"{1:", "}"},
                                                        {"1 ** ", ""},
                                                        {"", " or 1"},
                                                        {"a(", ")"},
                                                        {"", " is defined or 1"}}) {
    EXPECT_TRUE(render(nested(open, close)).starts_with("!")) << open << close;
  }
  std::string blocks;
  for (int i = 0; i < 100000; ++i) blocks += "{% if 1 %}";
  EXPECT_TRUE(render(blocks).starts_with("!"));
  std::string target = "{% set ";
  for (int i = 0; i < 100000; ++i) target += "(";
  EXPECT_TRUE(render(target).starts_with("!"));
}

// What may hold itself is taken apart at the end (a leak shows under ASan), and chains without
// recursion.
TEST(Template, CyclesAndLongChainsAreFreed) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.me = [ns] %}{% set ns.loop = ns %}ok"),
            "ok");
  EXPECT_EQ(render("{% macro m() %}{{ m is defined }}{% endmacro %}{{ m() }}"), "True");
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in range(20000) %}{% set prev = ns.m %}{% "
                   "macro m() %}{{ prev }}{% endmacro %}"
                   "{% set ns.m = m %}{% endfor %}ok"),
            "ok");
  EXPECT_EQ(render("{% set ns = namespace(x=namespace()) %}{% for i in range(20000) %}{% set n = "
                   "namespace(x=ns.x) %}"
                   "{% set ns.x = n %}{% endfor %}ok"),
            "ok");
}

// A text that grows piece by piece: in one step each, not in one copy each.
TEST(Template, GrowingATextIsNotQuadratic) {
  EXPECT_EQ(render("{% set ns = namespace(x='') %}{% for i in range(100000) %}{% set ns.x = ns.x ~ "
                   "'0123456789' %}{% endfor %}"
                   "{{ ns.x|length }}"),
            "1000000");
  EXPECT_EQ(render("{% set ns = namespace(x='') %}{% for i in range(100000) %}{% set ns.x = ns.x + "
                   "'0123456789' %}{% endfor %}"
                   "{{ ns.x|length }}"),
            "1000000");
}

// A shorter text keeps its own end while a longer one grows in the same buffer.
TEST(Template, GrowingInPlaceDisturbsNobody) {
  EXPECT_EQ(render("{% set a = 'x' ~ messages[0].role %}{% set b = a ~ '1' %}{% set c = a ~ '2' "
                   "%}{% set d = b ~ b %}{{ a }} {{ b }} {{ c }} {{ d }}"),
            "xuser xuser1 xuser2 xuser1xuser1");
}

TEST(Template, OneTemplateServesManyThreads) {
  const auto chat_template = ChatTemplate::parse(
      "{% set ns = namespace(x='start ') %}{% for i in range(200) %}{% set ns.x = ns.x ~ "
      "messages[0].content ~ 'é' %}{% endfor %}{{ ns.x }}"
      "{{ {'k': 'v' ~ messages[0].content}|tojson }}");
  ASSERT_TRUE(chat_template.ok());
  const std::string expected = chat_template->render(simple_input())->text;
  std::vector<std::thread> threads;
  std::vector<int> same(4);
  for (size_t t = 0; t < same.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i)
        same[t] += chat_template->render(simple_input())->text == expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : same) EXPECT_EQ(count, 50);
}

}  // namespace
}  // namespace sluice::chat
