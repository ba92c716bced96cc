// Which tokens of a conversation are labels, with the family's own template.
#include "tools/distill/conversation.h"

#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "support/paths.h"

namespace sluice::test {
namespace {

using distill::Sample;
using distill::TextTools;

class Labels : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_REQUIRE_SHARED(file, "data/qwen35-tokenizer/chat_template.qwen3.6.jinja");
    auto tools = distill::open_text_tools(tests_folder() / "model/data/tiny");
    ASSERT_TRUE(tools.ok()) << tools.error().message();
    auto source = read_file(file, 1 << 20);
    ASSERT_TRUE(source.ok()) << source.error().message();
    auto parsed = chat::ChatTemplate::parse(*source);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    tools->chat_template = *std::move(parsed);
    tools_ = std::make_unique<TextTools>(*std::move(tools));
  }

  Sample sample(const std::string& json) const {
    const auto line = parse_json(json);
    if (!line.ok()) throw std::runtime_error(line.error().message());
    auto result = distill::sample_from_json(*line, *tools_);
    if (!result.ok()) throw std::runtime_error(result.error().message());
    EXPECT_EQ(result->tokens.size(), result->weights.size());
    return *std::move(result);
  }

  // The sample's text, with [ and ] around each run of labels.
  std::string marked(const std::string& json) const {
    const Sample made = sample(json);
    std::string text;
    bool inside = false;
    for (size_t i = 0; i < made.tokens.size(); ++i) {
      if ((made.weights[i] > 0) != inside) {
        inside = !inside;
        text += inside ? "[" : "]";
      }
      text += tools_->tokenizer.bytes(made.tokens[i]);
    }
    return text + (inside ? "]" : "");
  }

  std::unique_ptr<TextTools> tools_;
};

TEST_F(Labels, AnAnswerWithThought) {
  EXPECT_EQ(marked(R"({"messages":[{"role":"user","content":"2+2?"},
      {"role":"assistant","content":"4","reasoning_content":"two and two"}]})"),
            "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n<think>\n"
            "[two and two\n</think>\n\n4<|im_end|>]");
}

TEST_F(Labels, ThinkingOff) {
  EXPECT_EQ(marked(R"({"messages":[{"role":"user","content":"2+2?"},
      {"role":"assistant","content":"4"}],"chat_template_kwargs":{"enable_thinking":false}})"),
            "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
            "[4<|im_end|>]");
}

TEST_F(Labels, OnlyAfterTheLastUser) {
  EXPECT_EQ(marked(R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
      {"role":"user","content":"c"},{"role":"assistant","content":"d","reasoning_content":"e"}]})"),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
            "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n<think>\n"
            "[e\n</think>\n\nd<|im_end|>]");
}

// Shown as they were generated, earlier turns are labels as well.
TEST_F(Labels, EarlierTurnsWithTheirThoughts) {
  EXPECT_EQ(marked(R"({"messages":[{"role":"user","content":"a"},
      {"role":"assistant","content":"b","reasoning_content":"f"},
      {"role":"user","content":"c"},{"role":"assistant","content":"d","reasoning_content":"e"}],
      "chat_template_kwargs":{"preserve_thinking":true}})"),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n<think>\n"
            "[f\n</think>\n\nb<|im_end|>]\n"
            "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n<think>\n"
            "[e\n</think>\n\nd<|im_end|>]");
}

// With thinking off nobody generates a turn with a thought, even where it is shown.
TEST_F(Labels, AnEarlierThoughtIsReadWhereThinkingIsOff) {
  EXPECT_EQ(marked(R"({"messages":[{"role":"user","content":"a"},
      {"role":"assistant","content":"b","reasoning_content":"f"},
      {"role":"user","content":"c"},{"role":"assistant","content":"d"}],
      "chat_template_kwargs":{"preserve_thinking":true,"enable_thinking":false}})"),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n<think>\n"
            "f\n</think>\n\nb<|im_end|>\n"
            "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
            "[d<|im_end|>]");
}

// Calls and the answer to their result are labels, the result is not.
TEST_F(Labels, ToolResultsAreRead) {
  const std::string text = marked(R"({"messages":[{"role":"user","content":"sum"},
      {"role":"assistant","content":"","reasoning_content":"call","tool_calls":[{"type":"function",
       "function":{"name":"add","arguments":{"a":1}}}]},
      {"role":"tool","content":"17"},
      {"role":"assistant","content":"17!","reasoning_content":"done"}],
      "tools":[{"type":"function","function":{"name":"add","parameters":{}}}]})");
  const std::string tail = text.substr(text.find('[', text.rfind("<|im_start|>user\nsum")));
  EXPECT_EQ(tail,
            "[call\n</think>\n\n<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n"
            "</function>\n</tool_call><|im_end|>]\n"
            "<|im_start|>user\n<tool_response>\n17\n</tool_response><|im_end|>\n"
            "<|im_start|>assistant\n<think>\n[done\n</think>\n\n17!<|im_end|>]");
}

// A message that quotes the end marker neither ends its turn nor becomes a special token.
TEST_F(Labels, QuotedMarkersAreText) {
  const std::string json = R"({"messages":[{"role":"user","content":"say <|im_end|>"},
      {"role":"assistant","content":"<|im_end|> it is"}],
      "chat_template_kwargs":{"enable_thinking":false}})";
  EXPECT_TRUE(marked(json).ends_with("[<|im_end|> it is<|im_end|>]"));
  const auto marker = tools_->tokenizer.find_added("<|im_end|>");
  const Sample made = sample(json);
  EXPECT_EQ(std::count(made.tokens.begin(), made.tokens.end(), *marker), 2);
}

// As at run time, the prompt's last line feed is a token of its own, whatever follows it.
TEST_F(Labels, NoTokenStraddlesTheBorder) {
  const Sample made = sample(R"({"messages":[{"role":"user","content":"x"},
      {"role":"assistant","content":"y","reasoning_content":""}]})");
  const auto first = std::find_if(made.weights.begin(), made.weights.end(),
                                  [](float weight) { return weight > 0; });
  ASSERT_NE(first, made.weights.begin());
  const auto before = static_cast<size_t>(first - made.weights.begin()) - 1;
  EXPECT_EQ(tools_->tokenizer.bytes(made.tokens[before]), "\n");
}

TEST_F(Labels, PlainTextAndWeights) {
  EXPECT_EQ(marked(R"({"text":"abc <|im_end|>"})"), "[abc <|im_end|>]");
  const Sample heavy = sample(R"({"text":"abc","weight":2.5})");
  EXPECT_EQ(heavy.weights, std::vector<float>(heavy.tokens.size(), 2.5f));
}

TEST_F(Labels, BadLinesAreRefused) {
  for (const char* json :
       {"[]", "{}", R"({"text":3})", R"({"text":"a","weight":0})", R"({"text":"a","weight":"x"})",
        R"({"messages":[]})", R"({"messages":[{"role":"user","content":"x"}]})",
        R"({"messages":[{"role":"user"}]})", R"({"messages":3})",
        // Off, and yet with a thought: the prompt of the turn would not be what was rendered.
        R"({"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y",
            "reasoning_content":"z"}],"chat_template_kwargs":{"enable_thinking":false}})"}) {
    const auto line = parse_json(json);
    ASSERT_TRUE(line.ok()) << json;
    EXPECT_FALSE(distill::sample_from_json(*line, *tools_).ok()) << json;
  }
}

}  // namespace
}  // namespace sluice::test
