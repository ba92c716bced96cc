// The golden vectors of serving-template.md 1.7 (data/template_golden.jsonl), rendered with the
// published templates.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "base/file.h"
#include "chat/template.h"
#include "support/paths.h"

namespace sluice::chat {
namespace {

// "args" of a vector are the template's variables.
TemplateInput input_of(const Json& args) {
  TemplateInput input;
  for (const auto& [name, value] : args.members()) {
    if (name == "messages") {
      input.messages = value;
    } else if (name == "tools") {
      input.tools = value;
    } else if (name == "add_generation_prompt") {
      input.add_generation_prompt = value.boolean();
    } else {
      input.chat_template_kwargs.set(name, value);
    }
  }
  return input;
}

// "TB" of an expected text: what the template itself writes for the tools, up to its last fixed
// line. That this block holds each tool as tojson must print it is checked on its own.
std::string tools_block(const ChatTemplate& chat_template, const Json& tools) {
  TemplateInput input;
  input.messages = *parse_json(R"([{"role": "user", "content": "x"}])");
  input.tools = tools;
  const std::string text = chat_template.render(input)->text;
  const size_t begin = text.find("# Tools");
  constexpr std::string_view kLast = "</IMPORTANT>";
  return text.substr(begin, text.find(kLast) + kLast.size() - begin);
}

TEST(TemplateGolden, AllVectors) {
  SLUICE_REQUIRE_SHARED(folder, "data/qwen35-tokenizer");
  std::ifstream file(test::tests_folder() / "chat" / "data" / "template_golden.jsonl");
  int vectors = 0;
  for (std::string line; std::getline(file, line); ++vectors) {
    const Json vector = *parse_json(line);
    SCOPED_TRACE(vector.find("id")->string());
    const bool is_36 = vector.find("version")->string() == "qwen3.6";
    const auto path =
        folder / (is_36 ? "chat_template.qwen3.6.jinja" : "chat_template.qwen3.5-4B-9B.jinja");
    const auto chat_template = ChatTemplate::parse(*read_file(path, 1 << 20));
    ASSERT_TRUE(chat_template.ok()) << chat_template.error().message();
    const TemplateInput input = input_of(*vector.find("args"));
    TemplateError where;
    const auto rendered = chat_template->render(input, &where);
    if (const Json* error = vector.find("error")) {
      ASSERT_FALSE(rendered.ok());
      EXPECT_EQ(where.message, error->string());
      EXPECT_GT(where.line, 0);
      EXPECT_GT(where.column, 0);
      continue;
    }
    ASSERT_TRUE(rendered.ok()) << where.message;
    std::string expected = vector.find("out")->string();
    if (const size_t block = expected.find("TB"); block != std::string::npos) {
      expected.replace(block, 2, tools_block(*chat_template, input.tools));
    }
    EXPECT_EQ(rendered->text, expected);
  }
  EXPECT_EQ(vectors, 18);
}

TEST(TemplateGolden, ToolsAreWrittenAsPythonWritesJson) {
  SLUICE_REQUIRE_SHARED(path, "data/qwen35-tokenizer/chat_template.qwen3.6.jinja");
  const auto chat_template = ChatTemplate::parse(*read_file(path, 1 << 20));
  const Json tools =
      *parse_json(R"([{"type":"function","function":{"name":"f","description":"Wetter <b>&'\u00fc",
      "parameters":{"n":1e5,"big":123456789012345678901234567890,"x":[1.0,null,true],"e":{}}}}])");
  const std::string block = tools_block(*chat_template, tools);
  EXPECT_NE(block.find(
                R"({"type": "function", "function": {"name": "f", "description": "Wetter <b>&'ü", )"
                R"("parameters": {"n": 100000.0, "big": 123456789012345678901234567890, )"
                R"("x": [1.0, null, true], "e": {}}}})"),
            std::string::npos)
      << block;
}

// An error is shown where it was raised: at the call of raise_exception, in the line that has it.
TEST(TemplateGolden, ErrorsNameTheirLine) {
  SLUICE_REQUIRE_SHARED(path, "data/qwen35-tokenizer/chat_template.qwen3.6.jinja");
  const std::string source = *read_file(path, 1 << 20);
  const auto chat_template = ChatTemplate::parse(source);
  TemplateInput input;
  input.messages =
      *parse_json(R"([{"role": "user", "content": "x"}, {"role": "nobody", "content": "x"}])");
  TemplateError where;
  ASSERT_FALSE(chat_template->render(input, &where).ok());
  const size_t call = source.find("raise_exception('Unexpected message role.')");
  EXPECT_EQ(where.line, 1 + std::count(source.begin(),
                                       source.begin() + static_cast<std::ptrdiff_t>(call), '\n'));
  EXPECT_EQ(where.column, static_cast<int>(call - source.rfind('\n', call)));
}

}  // namespace
}  // namespace sluice::chat
