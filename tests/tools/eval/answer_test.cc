#include "tools/eval/answer.h"

#include <gtest/gtest.h>

namespace sluice::tools {
namespace {

TEST(Answer, PlainTextIsTrimmed) {
  const Answer answer = read_answer("\n\nThe answer is 5.\n");
  EXPECT_EQ(answer.text, "The answer is 5.");
  EXPECT_TRUE(answer.calls.empty());
  EXPECT_FALSE(answer.malformed);
}

TEST(Answer, OneCall) {
  const Answer answer = read_answer(
      "I look.\n\n<tool_call>\n<function=get_price>\n<parameter=item>\napples\n</parameter>\n"
      "</function>\n</tool_call>");
  EXPECT_FALSE(answer.malformed);
  EXPECT_EQ(answer.text, "I look.");
  ASSERT_EQ(answer.calls.size(), 1u);
  EXPECT_EQ(answer.calls[0], (AnswerCall{"get_price", {{"item", "apples"}}}));
}

TEST(Answer, SeveralCallsSeveralLinesNoArguments) {
  const Answer answer = read_answer(
      "<tool_call>\n<function=now>\n</function>\n</tool_call>\n"
      "<tool_call>\n<function=write>\n<parameter=path>\na.txt\n</parameter>\n"
      "<parameter=text>\none\n\ntwo\n</parameter>\n</function>\n</tool_call>\n");
  EXPECT_FALSE(answer.malformed);
  ASSERT_EQ(answer.calls.size(), 2u);
  EXPECT_EQ(answer.calls[0], (AnswerCall{"now", {}}));
  EXPECT_EQ(answer.calls[1], (AnswerCall{"write", {{"path", "a.txt"}, {"text", "one\n\ntwo"}}}));
}

// Every cut of a call, and every call with one byte lost within its form, is malformed.
TEST(Answer, DamagedCallsAreMalformed) {
  const std::string whole =
      "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>";
  ASSERT_EQ(read_answer(whole).calls.size(), 1u);
  for (size_t length = std::string("<tool_call>").size(); length < whole.size(); ++length)
    EXPECT_TRUE(read_answer(whole.substr(0, length)).malformed) << whole.substr(0, length);
  for (const char* text :
       {"<tool_call>\n<function=f>\n</function>\n</tool_call> done",
        "<tool_call>\n<function=f>\n</function>\n</tool_call><tool_call>",
        "<tool_call>\n<function=>\n</function>\n</tool_call>",
        "<tool_call><function=f>\n</function>\n</tool_call>",
        "<tool_call>\n{\"name\": \"f\"}\n</tool_call>",
        "<tool_call>\n<function=f>\n<parameter=a>1</parameter>\n</function>\n</tool_call>",
        "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=a>\n2\n</"
        "parameter>\n"
        "</function>\n</tool_call>"})
    EXPECT_TRUE(read_answer(text).malformed) << text;
}

}  // namespace
}  // namespace sluice::tools
