// Where a prompt comes from: text, ids, a file, or messages rendered by the model's template.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "cli/session.h"

namespace sluice::cli {

struct PromptInput {
  std::optional<std::string> text, file, ids, ids_file, messages_file;

  // Declares --text, --ids, --file, --ids-file and, if `with_messages`, --messages; they exclude
  // each other.
  void declare(CLI::App& app, bool with_messages);

  bool given() const;
  // The tokens. Errors name the flag or file; also ids outside the vocabulary.
  Result<std::vector<int32_t>> tokens(const ModelFiles& files, int64_t vocabulary) const;
};

// Tokens of a JSON request: {"ids":[...]}, {"text":"..."} or {"messages":[...], "tools":...,
// "chat_template_kwargs":{...}}.
Result<std::vector<int32_t>> tokens_of_request(const Json& request, const ModelFiles& files,
                                               int64_t vocabulary);

// Renders messages with the generation prompt and encodes them: text of a message never becomes a
// special token.
Result<std::vector<int32_t>> encode_messages(const Json& request, const ModelFiles& files,
                                             bool add_generation_prompt = true);

Result<std::vector<int32_t>> encode_text(const std::string& text, const ModelFiles& files);

// The lines of a JSONL text with their one-based numbers, empty ones skipped.
struct JsonLine {
  int64_t number = 0;
  Result<Json> value;
};
Result<std::vector<JsonLine>> read_json_lines(const std::string& path);  // "-" is standard input

}  // namespace sluice::cli
