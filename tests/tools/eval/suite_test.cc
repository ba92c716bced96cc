#include "tools/eval/suite.h"

#include <gtest/gtest.h>

namespace sluice::tools {
namespace {

Result<SuiteItem> item(const std::string& text) {
  const auto json = parse_json(text);
  EXPECT_TRUE(json.ok()) << text;
  return read_suite_item(*json);
}

constexpr const char* kCheck = R"("check":{"type":"number","value":5})";

TEST(Suite, ThePromptIsTheFirstMessages) {
  const auto read =
      item(std::string(R"({"id":"a","kind":"sums","messages":[1,2,3],"prompt":2,)") +
           R"("tools":[7],"chat_template_kwargs":{"enable_thinking":false},)" + kCheck + "}");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->id, "a");
  EXPECT_EQ(read->kind, "sums");
  EXPECT_EQ(read->request.dump(),
            R"({"messages":[1,2],"tools":[7],"chat_template_kwargs":{"enable_thinking":false}})");
  EXPECT_TRUE(read->check.passes(read_answer("It is 5.")));
  EXPECT_FALSE(read->check.passes(read_answer("It is 6.")));
}

TEST(Suite, WithoutPromptAllMessages) {
  const auto read = item(std::string(R"({"messages":[1,2],)") + kCheck + "}");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->request.dump(), R"({"messages":[1,2]})");
}

TEST(Suite, ForgedLines) {
  for (const std::string& text :
       {std::string("5"), std::string("{}"), std::string(R"({"messages":[1]})"),
        std::string(R"({"messages":[],)") + kCheck + "}",
        std::string(R"({"messages":"hi",)") + kCheck + "}",
        std::string(R"({"messages":[1],"prompt":0,)") + kCheck + "}",
        std::string(R"({"messages":[1],"prompt":2,)") + kCheck + "}",
        std::string(R"({"messages":[1],"prompt":-1,)") + kCheck + "}",
        std::string(R"({"messages":[1],"prompt":"1",)") + kCheck + "}"})
    EXPECT_FALSE(item(text).ok()) << text;
}

TEST(Suite, Scores) {
  SuiteScores scores;
  ItemOutcome right;
  right.right = right.thinks = right.thought_closed = true;
  right.drafts_proposed = {4, 3};
  right.drafts_accepted = {3, 1};
  scores.add("sums", right);
  ItemOutcome wrong;
  wrong.thinks = true;
  wrong.drafts_proposed = {2};
  wrong.drafts_accepted = {2};
  scores.add("sums", wrong);
  // A thought is not counted where none was asked for.
  ItemOutcome talk;
  talk.right = talk.thought_closed = true;
  scores.add("talk", talk);
  ASSERT_EQ(scores.kinds().size(), 2u);
  const KindScore& sums = scores.kinds().at("sums");
  EXPECT_EQ(sums.items, 2);
  EXPECT_EQ(sums.right, 1);
  EXPECT_EQ(sums.thoughts, 2);
  EXPECT_EQ(sums.closed, 1);
  const KindScore total = scores.total();
  EXPECT_EQ(total.items, 3);
  EXPECT_EQ(total.right, 2);
  EXPECT_EQ(total.thoughts, 2);
  EXPECT_EQ(total.closed, 1);
  EXPECT_EQ(scores.drafts_proposed(), (std::vector<int64_t>{6, 3}));
  EXPECT_EQ(scores.drafts_accepted(), (std::vector<int64_t>{5, 1}));
}

}  // namespace
}  // namespace sluice::tools
