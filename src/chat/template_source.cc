#include "chat/template_source.h"

#include <fmt/format.h>

namespace sluice::chat {
namespace {

// chat_template: a text, or a list of {name, template}.
Result<std::optional<std::string>> template_of_config(const Json& config, bool with_tools) {
  const Json* field = config.find("chat_template");
  if (!field || field->is_null()) return std::optional<std::string>();
  if (field->is_string()) return std::optional<std::string>(field->string());
  if (!field->is_array()) {
    return bad_input(
        "tokenizer_config.json",
        fmt::format("chat_template is {}, wanted is a string or an array", field->kind_name()));
  }
  const std::string *standard = nullptr, *tool_use = nullptr, *only = nullptr;
  for (const Json& entry : field->items()) {
    const Json *name = entry.find("name"), *text = entry.find("template");
    if (!name || !name->is_string() || !text || !text->is_string()) {
      return bad_input("tokenizer_config.json", "an entry of chat_template lacks name or template");
    }
    only = &text->string();
    if (name->string() == "default") standard = only;
    if (name->string() == "tool_use") tool_use = only;
  }
  if (with_tools && tool_use) return std::optional(*tool_use);
  if (standard) return std::optional(*standard);
  if (field->items().size() == 1) return std::optional(*only);
  return bad_input(
      "tokenizer_config.json",
      fmt::format("none of its {} chat templates is named 'default'", field->items().size()),
      "Give one with --chat-template-file");
}

}  // namespace

Result<std::optional<TemplateSource>> choose_template(const std::optional<std::string>& jinja_file,
                                                      const Json* config,
                                                      const std::optional<std::string>& gguf,
                                                      bool with_tools) {
  using Choice = std::optional<TemplateSource>;
  if (jinja_file) return Choice({*jinja_file, "chat_template.jinja"});
  if (config) {
    SLUICE_ASSIGN(const auto text, template_of_config(*config, with_tools));
    if (text) return Choice({*text, "tokenizer_config.json"});
  }
  if (gguf) return Choice({*gguf, "tokenizer.chat_template"});
  return Choice();
}

std::optional<std::string> special_token(const Json& config, std::string_view name) {
  const Json* token = config.find(name);
  if (token && token->is_object()) token = token->find("content");
  if (!token || !token->is_string()) return std::nullopt;
  return token->string();
}

}  // namespace sluice::chat
