#include "chat/template.h"

#include <charconv>
#include <ctime>

#include "base/utf8.h"
#include "chat/jinja/error.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/parser.h"

namespace sluice::chat {

using jinja::JinjaError;
using jinja::Value;

struct ChatTemplate::Program {
  std::string source;
  jinja::Template tree;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

const std::string& ChatTemplate::source() const { return program_->source; }

namespace {

Error explain(const JinjaError& error, ErrorCode code, TemplateError* where) {
  if (where) *where = {error.text(), error.line(), error.column()};
  const std::string place =
      error.line() > 0 ? fmt::format(", line {}, column {}", error.line(), error.column()) : "";
  return {code, "chat template" + place, error.text(), {}};
}

// "2026-01-31T12:00:00", nothing else.
std::optional<std::tm> parse_time(std::string_view text) {
  std::tm time{};
  int* const fields[] = {&time.tm_year, &time.tm_mon, &time.tm_mday,
                         &time.tm_hour, &time.tm_min, &time.tm_sec};
  constexpr std::string_view kForm = "0000-00-00T00:00:00";
  if (text.size() != kForm.size()) return std::nullopt;
  size_t field = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (kForm[i] != '0') {
      if (text[i] != kForm[i]) return std::nullopt;
      ++field;
    } else if (text[i] >= '0' && text[i] <= '9') {
      *fields[field] = *fields[field] * 10 + (text[i] - '0');
    } else {
      return std::nullopt;
    }
  }
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  time.tm_isdst = -1;
  const std::tm asked = time;
  // mktime also fills in the weekday and the day of the year; a day that does not exist comes back
  // as another.
  if (std::mktime(&time) == -1 || time.tm_mon != asked.tm_mon || time.tm_mday != asked.tm_mday)
    return std::nullopt;
  time.tm_hour = asked.tm_hour;
  return asked.tm_hour < 24 && asked.tm_min < 60 && asked.tm_sec < 60 ? std::optional(time)
                                                                      : std::nullopt;
}

std::tm clock_time() {
  const std::time_t now = std::time(nullptr);
  std::tm time{};
  localtime_r(&now, &time);
  return time;
}

Value token_value(const std::optional<std::string>& token) { return Value::string(*token); }

// transformers gives a template `tools` and `documents` always (None without), special tokens by
// their names, and lets further variables replace the special tokens.
Result<jinja::Interpreter::Variables> variables_of(const TemplateInput& input) {
  jinja::Interpreter::Variables variables;
  if (input.bos_token) variables.emplace_back("bos_token", token_value(input.bos_token));
  if (input.eos_token) variables.emplace_back("eos_token", token_value(input.eos_token));
  variables.emplace_back("documents", Value::none());
  if (!input.chat_template_kwargs.is_null()) {
    if (!input.chat_template_kwargs.is_object()) {
      return usage_error(
          "chat_template_kwargs",
          fmt::format("must be an object, is {}", input.chat_template_kwargs.kind_name()));
    }
    for (const auto& [name, value] : input.chat_template_kwargs.members()) {
      for (const char* taken : {"messages", "tools", "add_generation_prompt"}) {
        if (name == taken) {
          return usage_error("chat_template_kwargs." + name, "cannot be given here",
                             "Use the field of the request");
        }
      }
      variables.emplace_back(name, Value::from_json(value));
    }
  }
  variables.emplace_back("messages", Value::from_json(input.messages));
  variables.emplace_back("tools", Value::from_json(input.tools));
  variables.emplace_back("add_generation_prompt", Value::boolean(input.add_generation_prompt));
  return variables;
}

Rendered rendered_from(const jinja::Text& text) {
  Rendered rendered;
  rendered.text.reserve(text.size());
  text.for_each_run([&](std::string_view piece, bool data) {
    const size_t begin = rendered.text.size();
    rendered.text += piece;
    if (data) rendered.data.push_back({begin, rendered.text.size()});
  });
  return rendered;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string source, TemplateError* where) {
  if (const auto bad = find_invalid_utf8(source)) {
    return bad_input("chat template", fmt::format("byte {} is not UTF-8", *bad));
  }
  auto program = std::make_unique<Program>();
  try {
    program->tree = jinja::parse_template(source);
  } catch (const JinjaError& error) {
    return explain(error, ErrorCode::kBadInput, where);
  }
  program->source = std::move(source);
  return ChatTemplate(std::move(program));
}

Result<Rendered> ChatTemplate::render(const TemplateInput& input, TemplateError* where) const {
  std::tm now{};
  if (input.now) {
    const auto given = parse_time(*input.now);
    if (!given)
      return usage_error("now", "'" + *input.now + "' is not a time like 2026-01-31T12:00:00");
    now = *given;
  } else {
    now = clock_time();
  }
  try {
    SLUICE_ASSIGN(const auto variables, variables_of(input));
    jinja::Interpreter interpreter(program_->tree, variables, now, {});
    return rendered_from(interpreter.render());
  } catch (const JinjaError& error) {
    return explain(error, ErrorCode::kUsage, where);
  }
}

}  // namespace sluice::chat
