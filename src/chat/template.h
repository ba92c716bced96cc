// The model's own Jinja template, rendered with the origin of every character.
//
// The engine (chat/jinja/) carries through each filter and operator which characters came from the
// template and which from a message, so that no text of a message can become a special token, with
// any template.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tokenizer/tokenizer.h"

namespace sluice::chat {

// Rendered text; `data` are the byte ranges that came from the request, sorted, disjoint, maximal.
struct Rendered {
  std::string text;
  std::vector<tokenizer::TextRange> data;
};

// Where a template failed: raise_exception or a type error, with the position in the template's
// source.
struct TemplateError {
  std::string message;
  int line = 0, column = 0;  // one-based; 0 if unknown
};

// Variables of one rendering (spec/cli.md "template", serving-template.md 1.1).
struct TemplateInput {
  Json messages;  // array
  Json tools;     // array or null
  bool add_generation_prompt = false;
  Json chat_template_kwargs;  // object or null: further variables
  std::optional<std::string> bos_token, eos_token;
  std::optional<std::string> now;  // "2026-01-31T12:00:00" for strftime_now; else the clock
};

class ChatTemplate {
 public:
  // Parses once. A construct outside the supported language is an error with line and column, which
  // `where`, if given, gets as well.
  static Result<ChatTemplate> parse(std::string source, TemplateError* where = nullptr);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Thread-safe. Work and output are bounded (steps, bytes); beyond the bound is an error, not a
  // hang. On failure the Error's code is kUsage and `where`, if given, gets message and position.
  Result<Rendered> render(const TemplateInput& input, TemplateError* where = nullptr) const;

  const std::string& source() const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<Program> program);
  std::unique_ptr<Program> program_;
};

}  // namespace sluice::chat
