#include "tools/distill/bpe/corpus_text.h"

#include <gtest/gtest.h>

namespace sluice::tools::bpe {
namespace {

chat::ChatTemplate small_template() {
  auto parsed = chat::ChatTemplate::parse(
      "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if loud %}!{% endif %}"
      "{% if tools %}{{ tools | length }}{% endif %}");
  EXPECT_TRUE(parsed.ok());
  return std::move(*parsed);
}

Result<chat::Rendered> text_of(const char* line) {
  const auto json = parse_json(line);
  EXPECT_TRUE(json.ok());
  return corpus_text(*json, small_template());
}

TEST(CorpusText, MessagesToolsAndVariablesReachTheTemplate) {
  const auto rendered = text_of(
      R"({"messages":[{"role":"user","content":"hi"}],"tools":[1,2],"chat_template_kwargs":{"loud":true}})");
  ASSERT_TRUE(rendered.ok());
  EXPECT_EQ(rendered->text, "[user]hi!2");
}

TEST(CorpusText, PlainText) {
  const auto rendered = text_of(R"({"text":"Once upon a time"})");
  ASSERT_TRUE(rendered.ok());
  EXPECT_EQ(rendered->text, "Once upon a time");
  EXPECT_TRUE(rendered->data.empty());
}

TEST(CorpusText, ForgedLines) {
  EXPECT_FALSE(text_of("{}").ok());
  EXPECT_FALSE(text_of("[]").ok());
  EXPECT_FALSE(text_of(R"({"text":5})").ok());
  EXPECT_FALSE(text_of(R"({"messages":"hi"})").ok());
  EXPECT_FALSE(text_of(R"({"messages":[],"chat_template_kwargs":5})").ok());
}

}  // namespace
}  // namespace sluice::tools::bpe
