#include "tools/eval/answer_check.h"

#include <gtest/gtest.h>

namespace sluice::tools {
namespace {

Json json(const std::string& text) {
  auto value = parse_json(text);
  EXPECT_TRUE(value.ok()) << text;
  return std::move(*value);
}

bool passes(const std::string& check, const std::string& content) {
  const auto read = AnswerCheck::read(json(check));
  EXPECT_TRUE(read.ok()) << check;
  return read->passes(read_answer(content));
}

constexpr const char* kCall =
    "<tool_call>\n<function=add>\n<parameter=title>\nlunch\n</parameter>\n<parameter=minutes>\n30\n"
    "</parameter>\n</function>\n</tool_call>";

TEST(AnswerCheck, Number) {
  const std::string check = R"({"type":"number","value":62})";
  for (const char* right : {"The answer is 62.", "62", "34+28=62", "It is 62 apples", "(62)"})
    EXPECT_TRUE(passes(check, right)) << right;
  for (const char* wrong :
       {"The answer is 063.", "062", "-62", "62.5", "162", "62 or 61", "", "none", "sixty-two"})
    EXPECT_FALSE(passes(check, wrong)) << wrong;
  EXPECT_TRUE(passes(R"({"type":"number","value":-5})", "It is -5."));
  EXPECT_FALSE(passes(R"({"type":"number","value":-5})", "9-5"));
  EXPECT_TRUE(passes(R"({"type":"number","value":3.5})", "It is 3.5."));
}

TEST(AnswerCheck, Letter) {
  const std::string check = R"({"type":"letter","value":"B"})";
  for (const char* right : {"The answer is B.", "B", "A is wrong, so B)", "(B)"})
    EXPECT_TRUE(passes(check, right)) << right;
  for (const char* wrong : {"The answer is A.", "B or C", "Because", "b", "B2", ""})
    EXPECT_FALSE(passes(check, wrong)) << wrong;
}

TEST(AnswerCheck, TextAndContains) {
  EXPECT_TRUE(passes(R"({"type":"text","value":"You are welcome!"})", "\nYou are welcome!\n"));
  EXPECT_FALSE(passes(R"({"type":"text","value":"You are welcome!"})", "You are welcome"));
  EXPECT_TRUE(passes(R"({"type":"contains","value":"Paris"})", "The capital is Paris."));
  EXPECT_FALSE(passes(R"({"type":"contains","value":"Paris"})", "The capital is Rome."));
}

TEST(AnswerCheck, JsonValue) {
  const std::string check = R"({"type":"json","value":{"name":"Mia","items":["a","b"],"n":3}})";
  EXPECT_TRUE(passes(check, R"({"n": 3, "items": ["a", "b"], "name": "Mia"})"));
  for (const char* wrong :
       {R"({"n":3,"items":["b","a"],"name":"Mia"})", R"({"n":"3","items":["a","b"],"name":"Mia"})",
        R"({"n":3,"items":["a","b"],"name":"Mia","x":1})", R"({"n":3,"items":["a","b"]})",
        R"(Here: {"n":3,"items":["a","b"],"name":"Mia"})",
        R"({"n":3,"items":["a","b"],"name":"Mia")"})
    EXPECT_FALSE(passes(check, wrong)) << wrong;
}

TEST(AnswerCheck, Calls) {
  const auto check = [](const std::string& calls) {
    return R"({"type":"calls","value":)" + calls + "}";
  };
  EXPECT_TRUE(
      passes(check(R"([{"name":"add","arguments":{"title":"lunch","minutes":30}}])"), kCall));
  EXPECT_TRUE(
      passes(check(R"([{"name":"add","arguments":{"minutes":30,"title":"lunch"}}])"), kCall));
  for (const char* other : {R"([{"name":"sub","arguments":{"title":"lunch","minutes":30}}])",
                            R"([{"name":"add","arguments":{"title":"lunch","minutes":31}}])",
                            R"([{"name":"add","arguments":{"title":"lunch"}}])",
                            R"([{"name":"add","arguments":{"title":"lunch","minutes":30,"x":1}}])",
                            R"([{"name":"add","arguments":{"title":"lunch","hours":30}}])",
                            R"([{"name":"add","arguments":{"title":"lunch","minutes":30}},
                                {"name":"add","arguments":{"title":"lunch","minutes":30}}])"})
    EXPECT_FALSE(passes(check(other), kCall)) << other;
  EXPECT_FALSE(passes(check(R"([{"name":"add","arguments":{}}])"), "I call add."));
}

// A right text with a call beside it, or with something broken behind it, is not right.
TEST(AnswerCheck, TextsAskForNoCall) {
  EXPECT_TRUE(passes(R"({"type":"number","value":5})", "5"));
  EXPECT_FALSE(passes(R"({"type":"number","value":5})", std::string("5\n\n") + kCall));
  EXPECT_FALSE(passes(R"({"type":"number","value":5})", "5\n\n<tool_call>"));
}

TEST(AnswerCheck, ForgedChecks) {
  for (const char* text :
       {"5", "{}", R"({"type":"number"})", R"({"type":5,"value":5})",
        R"({"type":"number","value":"5"})", R"({"type":"guess","value":"5"})",
        R"({"type":"text","value":5})", R"({"type":"contains","value":""})",
        R"({"type":"calls","value":[]})", R"({"type":"calls","value":[{"name":"f"}]})",
        R"({"type":"calls","value":[5]})",
        R"({"type":"calls","value":[{"name":"f","arguments":[]}]})"})
    EXPECT_FALSE(AnswerCheck::read(json(text)).ok()) << text;
}

}  // namespace
}  // namespace sluice::tools
