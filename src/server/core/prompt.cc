#include "server/core/prompt.h"

#include <fmt/format.h>

#include "chat/continuation.h"
#include "chat/normalise.h"
#include "chat/prompt_turns.h"
#include "chat/thinking.h"

namespace sluice::server {
namespace {

ApiError too_long(int64_t tokens, int64_t context, const char* param) {
  ApiError error;
  error.kind = ApiError::Kind::kContextLength;
  error.param = param;
  error.prompt_tokens = tokens;
  error.context = context;
  error.message =
      fmt::format("the prompt has {} tokens, and this server's maximum context length is {} tokens",
                  tokens, context);
  return error;
}

// The switches of thinking reach the template as its variables; the request's own kwargs win, the
// server's come last.
void set_thinking(const GenerationRequest& request, const ModelText& model, Json& kwargs) {
  const auto set_default = [&](const char* name, Json value) {
    if (kwargs.find(name) == nullptr) kwargs.set(name, std::move(value));
  };
  if (request.thinking.enabled) set_default("enable_thinking", *request.thinking.enabled);
  if (request.thinking.effort) set_default("reasoning_effort", *request.thinking.effort);
  // Only a template that reads the switch can keep thoughts (3.6 and later).
  const bool can_keep =
      model.chat_template->source().find("preserve_thinking") != std::string::npos;
  const bool keeps = request.conversation->keeps_thoughts || !request.tools.declarations.empty();
  const Json& server = model.policy.template_defaults;
  if (server.is_object()) {
    for (const auto& [name, value] : server.members()) set_default(name.c_str(), value);
  }
  if (can_keep && keeps) set_default("preserve_thinking", true);
}

Answerable<PreparedPrompt> prepare_conversation(const GenerationRequest& request,
                                                const ModelText& model, const Replay& replay) {
  if (model.chat_template == nullptr) {
    return invalid_request(usage_error("messages", "this model has no chat template",
                                       "Use /v1/completions with a raw prompt"));
  }
  Json body = request.conversation->body;
  if (body.find("chat_template_kwargs") == nullptr)
    body.set("chat_template_kwargs", Json::object());
  if (Json* kwargs = body.find("chat_template_kwargs"); kwargs->is_object())
    set_thinking(request, model, *kwargs);
  if (model.policy.exclude_tools_when_none && request.tools.choice == ToolPolicy::Choice::kNone)
    body.set("tools", Json(Json::Array()));

  chat::NormaliseOptions options;
  options.accept_images = options.accept_videos = false;
  options.always_continue = request.conversation->always_continue;
  auto normalised = chat::normalise(body, options);
  if (!normalised.ok()) return invalid_request(normalised.error());

  chat::TemplateInput input;
  input.messages = std::move(normalised->messages);
  input.tools = std::move(normalised->tools);
  input.chat_template_kwargs = std::move(normalised->chat_template_kwargs);
  input.add_generation_prompt = normalised->add_generation_prompt;
  input.bos_token = model.bos_token;
  input.eos_token = model.eos_token;
  auto rendered = normalised->continue_final_message
                      ? chat::render_continuation(*model.chat_template, input)
                      : model.chat_template->render(input);
  if (!rendered.ok()) return invalid_request(usage_error("messages", rendered.error().message()));

  PreparedPrompt prompt;
  tokenizer::EncodeOptions encoding{.recognise_added = true, .literal = rendered->data};
  if (model.policy.parse_special_tokens) encoding.literal = {};
  auto ids = model.tokenizer->encode(rendered->text, encoding);
  if (!ids.ok()) return invalid_request(usage_error("messages", ids.error().message()));
  const auto markers = chat::TurnMarkers::of(*model.tokenizer);
  prompt.ids = std::move(*ids);
  if (replay.memory != nullptr) {
    prompt.ids = chat::replay_turns(std::move(prompt.ids), input.messages,
                                    normalised->continue_final_message, replay.scope,
                                    *replay.memory, markers);
  }
  prompt.borders = chat::message_borders(prompt.ids, markers);
  if (!normalised->continue_final_message) prompt.turn = chat::open_turn(prompt.ids, markers);
  prompt.text = std::move(rendered->text);
  prompt.thinking_open =
      chat::open_thought(prompt.ids, chat::ThinkMarkers::of(*model.tokenizer)).has_value();
  return prompt;
}

Answerable<PreparedPrompt> prepare_raw(const RawPrompt& raw, const ModelText& model) {
  PreparedPrompt prompt;
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&raw.content)) {
    prompt.ids = *ids;
  } else {
    prompt.text = std::get<std::string>(raw.content);
    auto encoded = model.tokenizer->encode(prompt.text);
    if (!encoded.ok()) return invalid_request(usage_error("prompt", encoded.error().message()));
    prompt.ids = std::move(*encoded);
  }
  if (prompt.ids.empty()) return invalid_request(usage_error("prompt", "is empty"));
  return prompt;
}

std::string text_of(const Json* content) {
  if (content == nullptr) return {};
  if (content->is_string()) return content->string();
  std::string text;
  if (!content->is_array()) return text;
  for (const Json& part : content->items()) {
    const Json* piece = part.find("text");
    if (piece != nullptr && piece->is_string()) text += piece->string();
  }
  return text;
}

}  // namespace

Answerable<std::vector<PreparedPrompt>> prepare_prompts(const GenerationRequest& request,
                                                        const ModelText& model,
                                                        const Replay& replay) {
  std::vector<PreparedPrompt> prompts;
  if (request.conversation) {
    auto prompt = prepare_conversation(request, model, replay);
    if (!prompt.ok()) return prompt.error();
    prompts.push_back(std::move(*prompt));
  }
  for (const RawPrompt& raw : request.prompts) {
    auto prompt = prepare_raw(raw, model);
    if (!prompt.ok()) return prompt.error();
    prompts.push_back(std::move(*prompt));
  }
  for (const PreparedPrompt& prompt : prompts) {
    const auto tokens = static_cast<int64_t>(prompt.ids.size());
    if (tokens >= model.context)
      return too_long(tokens, model.context, request.conversation ? "messages" : "prompt");
  }
  return prompts;
}

ConversationFacts conversation_facts(const GenerationRequest& request) {
  ConversationFacts facts;
  for (const chat::ToolDeclaration& tool : request.tools.declarations)
    facts.tools.push_back(tool.name);
  if (!request.conversation) {
    if (request.prompts.empty()) return facts;
    const auto* text = std::get_if<std::string>(&request.prompts.front().content);
    if (text != nullptr) facts.last_user = *text;
    return facts;
  }
  const Json* messages = request.conversation->body.find("messages");
  if (messages == nullptr || !messages->is_array()) return facts;
  for (const Json& message : messages->items()) {
    const Json* role = message.find("role");
    if (role == nullptr || !role->is_string()) continue;
    if (role->string() == "assistant") ++facts.turn;
    if (role->string() == "user") facts.last_user = text_of(message.find("content"));
  }
  return facts;
}

}  // namespace sluice::server
