#include "chat/template_source.h"

#include <gtest/gtest.h>

namespace sluice::chat {
namespace {

std::string choose(const std::optional<std::string>& jinja_file, const std::string& config,
                   const std::optional<std::string>& gguf, bool with_tools = false) {
  const auto parsed = parse_json(config);
  const auto chosen =
      choose_template(jinja_file, config.empty() ? nullptr : &*parsed, gguf, with_tools);
  if (!chosen.ok()) return "!" + chosen.error().message();
  return *chosen ? (*chosen)->origin + ": " + (*chosen)->text : "none";
}

TEST(TemplateSource, Order) {
  const std::string config = R"({"chat_template": "c"})";
  EXPECT_EQ(choose("j", config, "g"), "chat_template.jinja: j");
  EXPECT_EQ(choose(std::nullopt, config, "g"), "tokenizer_config.json: c");
  EXPECT_EQ(choose(std::nullopt, "{}", "g"), "tokenizer.chat_template: g");
  EXPECT_EQ(choose(std::nullopt, R"({"chat_template": null})", "g"), "tokenizer.chat_template: g");
  EXPECT_EQ(choose(std::nullopt, "", "g"), "tokenizer.chat_template: g");
  EXPECT_EQ(choose(std::nullopt, "", std::nullopt), "none");
}

TEST(TemplateSource, NamedTemplates) {
  const std::string both =
      R"({"chat_template": [{"name":"default","template":"d"},{"name":"tool_use","template":"t"}]})";
  EXPECT_EQ(choose(std::nullopt, both, std::nullopt), "tokenizer_config.json: d");
  EXPECT_EQ(choose(std::nullopt, both, std::nullopt, true), "tokenizer_config.json: t");
  EXPECT_EQ(
      choose(std::nullopt, R"({"chat_template": [{"name":"rag","template":"r"}]})", std::nullopt),
      "tokenizer_config.json: r");
  EXPECT_TRUE(
      choose(std::nullopt,
             R"({"chat_template": [{"name":"a","template":"r"},{"name":"b","template":"r"}]})",
             std::nullopt)
          .starts_with("!"));
  EXPECT_TRUE(
      choose(std::nullopt, R"({"chat_template": [{"name":"a"}]})", std::nullopt).starts_with("!"));
  EXPECT_TRUE(choose(std::nullopt, R"({"chat_template": [7]})", std::nullopt).starts_with("!"));
  EXPECT_TRUE(choose(std::nullopt, R"({"chat_template": []})", std::nullopt).starts_with("!"));
  EXPECT_TRUE(choose(std::nullopt, R"({"chat_template": 7})", std::nullopt).starts_with("!"));
}

TEST(TemplateSource, SpecialTokens) {
  const Json config = *parse_json(
      R"({"bos_token": null, "eos_token": "<e>", "pad_token": {"content": "<p>", "lstrip": false}, "x": 1})");
  EXPECT_EQ(special_token(config, "bos_token"), std::nullopt);
  EXPECT_EQ(special_token(config, "eos_token"), "<e>");
  EXPECT_EQ(special_token(config, "pad_token"), "<p>");
  EXPECT_EQ(special_token(config, "x"), std::nullopt);
  EXPECT_EQ(special_token(config, "unk_token"), std::nullopt);
}

}  // namespace
}  // namespace sluice::chat
