// What a training run takes from a tokenizer folder: ids, template, and the files that go into
// every exported model.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/template.h"
#include "tokenizer/tokenizer.h"

namespace sluice::distill {

struct TextTools {
  std::filesystem::path folder;
  std::vector<std::string> files;  // names to copy beside exported weights
  tokenizer::Tokenizer tokenizer;
  std::optional<chat::ChatTemplate> chat_template;  // needed by samples with messages only
  std::optional<std::string> bos_token, eos_token;
};

// tokenizer.json, tokenizer_config.json, chat_template.jinja; only the first must be there.
Result<TextTools> open_text_tools(const std::filesystem::path& folder);

}  // namespace sluice::distill
