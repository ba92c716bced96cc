// sluice template: conversations to prompts by the model's own template.
#include <fmt/format.h>

#include "chat/continuation.h"
#include "chat/normalise.h"
#include "cli/command.h"
#include "cli/prompt_input.h"
#include "cli/session.h"

namespace sluice::cli {
namespace {

Result<chat::TemplateInput> input_from(const Json& request, const ModelFiles& files) {
  if (!request.is_object())
    return usage_error("request",
                       fmt::format("is a {}, an object was expected", request.kind_name()));
  const auto text =
      [&](const char* key,
          const std::optional<std::string>& fallback) -> Result<std::optional<std::string>> {
    const Json* value = request.find(key);
    if (value == nullptr || value->is_null()) return fallback;
    if (!value->is_string())
      return usage_error(key, fmt::format("is a {}, a string was expected", value->kind_name()));
    return std::optional<std::string>(value->string());
  };
  chat::TemplateInput input;
  if (const Json* messages = request.find("messages")) input.messages = *messages;
  if (const Json* tools = request.find("tools")) input.tools = *tools;
  if (const Json* kwargs = request.find("chat_template_kwargs"))
    input.chat_template_kwargs = *kwargs;
  if (const Json* generation = request.find("add_generation_prompt")) {
    if (!generation->is_boolean())
      return usage_error("add_generation_prompt", "is not true or false");
    input.add_generation_prompt = generation->boolean();
  }
  SLUICE_ASSIGN(input.bos_token, text("bos_token", files.bos_token));
  SLUICE_ASSIGN(input.eos_token, text("eos_token", files.eos_token));
  SLUICE_ASSIGN(input.now, text("now", std::nullopt));
  return input;
}

class Template : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("MODEL", model_, "a model, a directory with a template, or a *.jinja file")
        ->required();
    app.add_option("--jsonl", jsonl_,
                   "one request a line: messages, tools, add_generation_prompt, "
                   "chat_template_kwargs; - is standard input")
        ->required();
    app.add_flag("--ids", ids_, "adds the ids of the prompt");
    app.add_flag("--normalise", normalise_, "first applies what the server does to messages");
  }

  bool watches_interrupts() const override { return false; }

  Status run(const Console& console) override {
    SLUICE_ASSIGN(const ModelFiles files, open_model(model_, NeedWeights::kNo));
    if (!files.chat_template) {
      if (files.template_error) return *files.template_error;
      return bad_input(files.path.string(), "has no chat template",
                       "Name a directory with chat_template.jinja, or a *.jinja file");
    }
    if (ids_ && !files.tokenizer)
      return bad_input(files.path.string(), "has no tokenizer, which --ids needs");
    SLUICE_ASSIGN(const auto lines, read_json_lines(*jsonl_));
    for (const JsonLine& line : lines) {
      if (!line.value.ok()) return line.value.error();
      SLUICE_ASSIGN(const Json answer, render(*line.value, files));
      console.print_json(answer);
    }
    return {};
  }

 private:
  Result<Json> render(const Json& request, const ModelFiles& files) const {
    Json answer = Json::object();
    const auto refuse = [&](const std::string& message, int line, int column) {
      answer.set("error", message);
      answer.set("line", line);
      answer.set("column", column);
      return answer;
    };
    Json normalised = request;
    bool continue_final = false;
    if (normalise_) {
      Result<chat::NormalisedRequest> result = chat::normalise(request, {.default_kwargs = {}});
      if (!result.ok()) return refuse(result.error().message(), 0, 0);
      normalised.set("messages", std::move(result->messages));
      normalised.set("tools", std::move(result->tools));
      normalised.set("chat_template_kwargs", std::move(result->chat_template_kwargs));
      normalised.set("add_generation_prompt", result->add_generation_prompt);
      continue_final = result->continue_final_message;
    }
    Result<chat::TemplateInput> input = input_from(normalised, files);
    if (!input.ok()) return refuse(input.error().message(), 0, 0);
    chat::TemplateError where;
    Result<chat::Rendered> rendered =
        continue_final ? chat::render_continuation(*files.chat_template, *input, &where)
                       : files.chat_template->render(*input, &where);
    if (!rendered.ok()) return refuse(where.message, where.line, where.column);
    answer.set("prompt", rendered->text);
    if (ids_) {
      SLUICE_ASSIGN(const auto ids,
                    files.tokenizer->encode(rendered->text,
                                            {.recognise_added = true, .literal = rendered->data}));
      Json::Array items;
      for (const int32_t id : ids) items.emplace_back(id);
      answer.set("ids", std::move(items));
    }
    return answer;
  }

  std::string model_;
  std::optional<std::string> jsonl_;
  bool ids_ = false, normalise_ = false;
};

}  // namespace

std::unique_ptr<Command> make_template() { return std::make_unique<Template>(); }

}  // namespace sluice::cli
