#include "server/openai/chat_encoder.h"

#include "server/openai/errors.h"
#include "server/openai/logprobs.h"

namespace sluice::server::openai {
namespace {

using Kind = AnswerEvent::Kind;

Json delta_of(const char* name, Json value) {
  Json delta = Json::object();
  delta.set(name, std::move(value));
  return delta;
}

Json function_json(const char* id, const std::string& id_value, const std::string& name,
                   const std::string& arguments) {
  Json function = Json::object();
  function.set("name", name);
  function.set("arguments", arguments);
  Json call = Json::object();
  call.set(id, id_value);
  call.set("type", "function");
  call.set("function", std::move(function));
  return call;
}

}  // namespace

const char* finish_reason(const Finish& finish) {
  using Cause = Finish::Cause;
  switch (finish.cause) {
    case Cause::kEndOfTurn:
    case Cause::kToolCall:
      // As OpenAI has it: a call that the request named is no news to the client.
      return finish.calls > 0 && !finish.named_call ? "tool_calls" : "stop";
    case Cause::kStopString:
    case Cause::kStopId:
      return "stop";
    case Cause::kLength:
    case Cause::kContextFull:
      return "length";
  }
  return "stop";
}

Json stop_reason(const Finish& finish) {
  if (finish.stop_string) return *finish.stop_string;
  if (finish.stop_id) return *finish.stop_id;
  return {};
}

Json usage_json(const Usage& usage) {
  Json prompt = Json::object();
  prompt.set("cached_tokens", usage.cached);
  Json completion = Json::object();
  completion.set("reasoning_tokens", usage.reasoning);
  Json json = Json::object();
  json.set("prompt_tokens", usage.prompt);
  json.set("completion_tokens", usage.completion);
  json.set("total_tokens", usage.prompt + usage.completion);
  json.set("prompt_tokens_details", std::move(prompt));
  json.set("completion_tokens_details", std::move(completion));
  return json;
}

std::string data_line(const Json& json) { return "data: " + json.dump() + "\n\n"; }

ChatEncoder::ChatEncoder(AnswerStart start, ChatEncoderOptions options)
    : start_(std::move(start)),
      options_(std::move(options)),
      channels_(static_cast<size_t>(start_.choices)) {}

bool ChatEncoder::inlined() const {
  return options_.inline_reasoning || options_.reasoning_field == ReasoningField::kNone;
}

Json ChatEncoder::envelope(const char* object) const {
  Json body = Json::object();
  body.set("id", "chatcmpl-" + start_.id);
  body.set("object", object);
  body.set("created", start_.created);
  body.set("model", start_.model);
  return body;
}

void ChatEncoder::add_reasoning(Json& target, const std::string& text) const {
  if (options_.reasoning_field != ReasoningField::kReasoning) target.set("reasoning_content", text);
  if (options_.reasoning_field != ReasoningField::kReasoningContent) target.set("reasoning", text);
}

// `event` adds log probabilities and, when it is the finish, the reason.
std::string ChatEncoder::chunk(int choice, Json delta, const AnswerEvent* event) {
  const bool logprobs = options_.logprobs && event != nullptr && !event->tokens.empty();
  const Finish* finish =
      event != nullptr && event->kind == Kind::kFinish ? &*event->finish : nullptr;
  Json entry = Json::object();
  entry.set("index", choice);
  entry.set("delta", std::move(delta));
  entry.set("logprobs", logprobs ? chat_logprobs(*options_.tokenizer, event->tokens) : Json());
  entry.set("finish_reason", finish != nullptr ? Json(finish_reason(*finish)) : Json());
  if (finish != nullptr) {
    entry.set("stop_reason", stop_reason(*finish));
    if (finish->thought_stop) entry.set("reasoning_stop", *finish->thought_stop);
  }
  Json body = envelope("chat.completion.chunk");
  body.set("choices", Json::Array{std::move(entry)});
  // Nothing may follow the usage chunk, and the others say null as OpenAI's do.
  if (options_.stream.include_usage) body.set("usage", Json());
  return data_line(body);
}

std::string ChatEncoder::begin() {
  std::string text;
  for (int choice = 0; choice < start_.choices; ++choice) {
    Json delta = delta_of("role", "assistant");
    delta.set("content", "");
    text += chunk(choice, std::move(delta), nullptr);
  }
  return text;
}

std::string ChatEncoder::reasoning(int choice, const std::string& text) {
  Channel& channel = channels_[static_cast<size_t>(choice)];
  if (options_.hold_reasoning) {
    channel.held_reasoning += text;
    return {};
  }
  if (inlined()) {
    const std::string opening = std::exchange(channel.thinking, true) ? "" : "<think>\n";
    return chunk(choice, delta_of("content", opening + text), nullptr);
  }
  Json delta = Json::object();
  add_reasoning(delta, text);
  return chunk(choice, std::move(delta), nullptr);
}

// What is due before anything that is not a thought.
std::string ChatEncoder::leave_reasoning(int choice) {
  Channel& channel = channels_[static_cast<size_t>(choice)];
  std::string text;
  if (!channel.held_reasoning.empty()) {
    const std::string held = std::exchange(channel.held_reasoning, {});
    if (inlined()) {
      channel.thinking = true;
      text += chunk(choice, delta_of("content", "<think>\n" + held), nullptr);
    } else {
      Json delta = Json::object();
      add_reasoning(delta, held);
      text += chunk(choice, std::move(delta), nullptr);
    }
  }
  if (std::exchange(channel.thinking, false))
    text += chunk(choice, delta_of("content", "\n</think>\n\n"), nullptr);
  return text;
}

std::string ChatEncoder::event(int choice, const AnswerEvent& event) {
  if (event.kind == Kind::kReasoning) return reasoning(choice, event.text);
  std::string text = leave_reasoning(choice);
  switch (event.kind) {
    case Kind::kReasoning:
    case Kind::kToolEnd:
      break;
    case Kind::kContent:
      text += chunk(choice, delta_of("content", event.text), &event);
      break;
    case Kind::kToolStart: {
      Json call = Json::object();
      call.set("index", event.call);
      const Json whole = function_json("id", options_.ids("call_"), event.text, "");
      for (const auto& [name, value] : whole.members()) call.set(name, value);
      text += chunk(choice, delta_of("tool_calls", Json::Array{std::move(call)}), nullptr);
      break;
    }
    case Kind::kToolArguments: {
      Json call = Json::object();
      call.set("index", event.call);
      call.set("function", delta_of("arguments", event.text));
      text += chunk(choice, delta_of("tool_calls", Json::Array{std::move(call)}), nullptr);
      break;
    }
    case Kind::kFinish:
      usage_.add(*event.finish, choice == 0);
      text += chunk(choice, Json::object(), &event);
      break;
  }
  return text;
}

std::string ChatEncoder::end() {
  std::string text;
  if (options_.stream.include_usage) {
    Json body = envelope("chat.completion.chunk");
    body.set("choices", Json::array());
    body.set("usage", usage_json(usage_));
    text += data_line(body);
  }
  return text + "data: [DONE]\n\n";
}

std::string ChatEncoder::keep_alive(int64_t silent_seconds) {
  // A comment keeps proxies awake; watchdogs inside clients only count parsed chunks.
  constexpr int64_t kChunkEvery = 60;
  if (silent_seconds > 0 && silent_seconds % kChunkEvery == 0)
    return chunk(0, Json::object(), nullptr);
  return ": ping\n\n";
}

std::string ChatEncoder::failure(const ApiError& error) {
  return data_line(error_json(error)) + "data: [DONE]\n\n";
}

Json ChatEncoder::whole(const std::vector<WholeChoice>& choices) {
  Usage usage;
  Json::Array entries;
  for (size_t i = 0; i < choices.size(); ++i) {
    const WholeChoice& choice = choices[i];
    usage.add(choice.finish, i == 0);
    std::string content = choice.content;
    Json message = Json::object();
    message.set("role", "assistant");
    if (inlined() && !choice.reasoning.empty())
      content = "<think>\n" + choice.reasoning + "\n</think>\n\n" + content;
    message.set("content", content.empty() && !choice.calls.empty() ? Json() : Json(content));
    message.set("refusal", Json());
    if (!inlined() && !choice.reasoning.empty()) add_reasoning(message, choice.reasoning);
    if (!choice.calls.empty()) {
      Json::Array calls;
      for (const WholeCall& call : choice.calls)
        calls.push_back(function_json("id", options_.ids("call_"), call.name, call.arguments));
      message.set("tool_calls", std::move(calls));
    }
    Json entry = Json::object();
    entry.set("index", static_cast<int64_t>(i));
    entry.set("message", std::move(message));
    entry.set("logprobs",
              options_.logprobs ? chat_logprobs(*options_.tokenizer, choice.tokens) : Json());
    entry.set("finish_reason", finish_reason(choice.finish));
    entry.set("stop_reason", stop_reason(choice.finish));
    if (choice.finish.thought_stop) entry.set("reasoning_stop", *choice.finish.thought_stop);
    entries.push_back(std::move(entry));
  }
  Json body = envelope("chat.completion");
  body.set("choices", std::move(entries));
  body.set("usage", usage_json(usage));
  body.set("system_fingerprint", Json());
  body.set("service_tier", Json());
  return body;
}

}  // namespace sluice::server::openai
