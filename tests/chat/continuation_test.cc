#include "chat/continuation.h"

#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "support/paths.h"

namespace sluice::chat {
namespace {

class Continuation : public testing::Test {
 protected:
  static std::string end_of(const ChatTemplate& chat_template, const std::string& answer) {
    TemplateInput input;
    input.messages = *parse_json(R"([{"role":"user","content":"u"},)" + answer + "]");
    const auto rendered = render_continuation(chat_template, input);
    if (!rendered.ok()) return "!" + rendered.error().message();
    for (const auto& range : rendered->data) EXPECT_LE(range.end, rendered->text.size());
    const size_t turn = rendered->text.rfind("assistant\n");
    return rendered->text.substr(turn + 10);
  }
};

TEST_F(Continuation, OfThePublishedTemplate) {
  SLUICE_REQUIRE_SHARED(path, "data/qwen35-tokenizer/chat_template.qwen3.6.jinja");
  const auto chat_template = ChatTemplate::parse(*read_file(path, 1 << 20));
  const auto end = [&](const std::string& answer) { return end_of(*chat_template, answer); };
  EXPECT_EQ(end(R"({"role":"assistant","content":"The answer \n"})"),
            "<think>\n\n</think>\n\nThe answer");
  EXPECT_EQ(end(R"({"role":"assistant","content":""})"), "<think>\n\n</think>\n\n");
  EXPECT_EQ(end(R"({"role":"assistant","content":null})"), "<think>\n\n</think>\n\n");
  EXPECT_EQ(end(R"({"role":"assistant","content":"a","reasoning_content":"r"})"),
            "<think>\nr\n</think>\n\na");
  EXPECT_EQ(end(R"({"role":"assistant","content":" ","reasoning_content":"so far "})"),
            "<think>\nso far");
  EXPECT_EQ(
      end(R"({"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b "}]})"),
      "<think>\n\n</think>\n\nab");
  EXPECT_EQ(end(R"({"role":"assistant","content":[{"type":"text","text":"a"},{"type":"image"}]})"),
            "<think>\n\n</think>\n\na<|vision_start|><|image_pad|><|vision_end|>");
}

TEST_F(Continuation, ATemplateThatDropsTheMessageIsAnError) {
  const auto chat_template = ChatTemplate::parse("{{ messages[0].content }}");
  EXPECT_TRUE(end_of(*chat_template, R"({"role":"assistant","content":"a"})")
                  .starts_with("!messages: the template does not render"));
}

}  // namespace
}  // namespace sluice::chat
