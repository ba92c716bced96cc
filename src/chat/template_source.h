// Which template a model brings: pure choices over what its files say; reading the files is the
// caller's.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "base/result.h"

namespace sluice::chat {

struct TemplateSource {
  std::string text;
  std::string
      origin;  // "chat_template.jinja", "tokenizer_config.json", "tokenizer.chat_template" (GGUF)
};

// The first that is there: chat_template.jinja, the chat_template of tokenizer_config.json, the
// GGUF's key. Nothing if none is. `config` may be null. With tools a template named "tool_use"
// comes before "default", as in transformers.
Result<std::optional<TemplateSource>> choose_template(const std::optional<std::string>& jinja_file,
                                                      const Json* config,
                                                      const std::optional<std::string>& gguf,
                                                      bool with_tools);

// bos_token, eos_token and the like of tokenizer_config.json: a string, or an object with
// `content`.
std::optional<std::string> special_token(const Json& config, std::string_view name);

}  // namespace sluice::chat
