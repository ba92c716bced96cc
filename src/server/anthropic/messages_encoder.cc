#include "server/anthropic/messages_encoder.h"

#include <fmt/format.h>

#include "server/anthropic/errors.h"

namespace sluice::server::anthropic {
namespace {

using Kind = AnswerEvent::Kind;

// Both lines: the SDK dispatches on the event's, other clients on the data's.
std::string sse(const char* type, const Json& data) {
  return fmt::format("event: {}\ndata: {}\n\n", type, data.dump());
}

Json typed(const char* type) {
  Json json = Json::object();
  json.set("type", type);
  return json;
}

Json text_block(const std::string& text) {
  Json block = typed("text");
  block.set("text", text);
  return block;
}

Json thinking_block(const std::string& text, const std::string& signature) {
  Json block = typed("thinking");
  block.set("thinking", text);
  block.set("signature", signature);
  return block;
}

Json tool_block(const std::string& id, const std::string& name, Json input) {
  Json block = typed("tool_use");
  block.set("id", id);
  block.set("name", name);
  block.set("input", std::move(input));
  return block;
}

// Opaque to clients, who send it back with the block; only said to be there. FNV-1a of the text.
std::string signature_of(const std::string& thought) {
  uint64_t hash = 14695981039346656037u;
  for (const char byte : thought) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 1099511628211u;
  }
  return fmt::format("sluice-{:016x}", hash);
}

Json stop_reason(const Finish& finish) {
  using Cause = Finish::Cause;
  switch (finish.cause) {
    case Cause::kStopString:
      return "stop_sequence";
    case Cause::kLength:
      return "max_tokens";
    case Cause::kContextFull:
      return "model_context_window_exceeded";
    case Cause::kEndOfTurn:
    case Cause::kStopId:
    case Cause::kToolCall:
      break;
  }
  return finish.calls > 0 ? "tool_use" : "end_turn";
}

Json stop_sequence(const Finish& finish) {
  return finish.stop_string ? Json(*finish.stop_string) : Json();
}

// Cached and new tokens of the prompt are counted apart; together they are the prompt.
Json usage_json(int64_t prompt, int64_t cached, int64_t output) {
  Json usage = Json::object();
  usage.set("input_tokens", prompt - cached);
  usage.set("cache_creation_input_tokens", 0);
  usage.set("cache_read_input_tokens", cached);
  usage.set("output_tokens", output);
  return usage;
}

Json usage_of(const Finish& finish) {
  Json usage = usage_json(finish.report.prompt_tokens, finish.report.cached_tokens,
                          finish.completion_tokens);
  Json details = Json::object();
  details.set("thinking_tokens", finish.reasoning_tokens);
  usage.set("output_tokens_details", std::move(details));
  return usage;
}

}  // namespace

MessagesEncoder::MessagesEncoder(AnswerStart start, MessagesEncoderOptions options)
    : start_(std::move(start)), options_(std::move(options)) {}

Json MessagesEncoder::message(Json content, Json reason, Json sequence, Json usage) const {
  Json body = Json::object();
  body.set("id", "msg_" + start_.id);
  body.set("type", "message");
  body.set("role", "assistant");
  body.set("model", start_.model);
  body.set("content", std::move(content));
  body.set("stop_reason", std::move(reason));
  body.set("stop_sequence", std::move(sequence));
  body.set("usage", std::move(usage));
  return body;
}

std::string MessagesEncoder::started(int64_t cached_tokens) {
  if (std::exchange(started_, true)) return {};
  Json event = typed("message_start");
  event.set("message", message(Json::array(), Json(), Json(),
                               usage_json(start_.prompt_tokens, cached_tokens, 0)));
  return sse("message_start", event) + sse("ping", typed("ping"));
}

std::string MessagesEncoder::delta(const char* type, const char* name,
                                   const std::string& text) const {
  Json change = typed(type);
  change.set(name, text);
  Json event = typed("content_block_delta");
  event.set("index", index_);
  event.set("delta", std::move(change));
  return sse("content_block_delta", event);
}

std::string MessagesEncoder::open(Block kind, Json content) {
  std::string text = close();
  block_ = kind;
  ++index_;
  Json event = typed("content_block_start");
  event.set("index", index_);
  event.set("content_block", std::move(content));
  return text + sse("content_block_start", event);
}

std::string MessagesEncoder::close() {
  if (block_ == Block::kNone) return {};
  std::string text;
  if (block_ == Block::kThinking)
    text += delta("signature_delta", "signature", signature_of(std::exchange(thought_, {})));
  block_ = Block::kNone;
  Json event = typed("content_block_stop");
  event.set("index", index_);
  return text + sse("content_block_stop", event);
}

std::string MessagesEncoder::event(int, const AnswerEvent& event) {
  std::string text;
  switch (event.kind) {
    case Kind::kReasoning:
      if (block_ != Block::kThinking) text += open(Block::kThinking, thinking_block("", ""));
      thought_ += event.text;
      if (!options_.thinking_omitted) text += delta("thinking_delta", "thinking", event.text);
      break;
    case Kind::kContent:
      if (block_ != Block::kText) text += open(Block::kText, text_block(""));
      said_ = true;
      text += delta("text_delta", "text", event.text);
      break;
    case Kind::kToolStart:
      said_ = true;
      text += open(Block::kTool, tool_block(options_.ids("toolu_"), event.text, Json::object()));
      break;
    case Kind::kToolArguments:
      text += delta("input_json_delta", "partial_json", event.text);
      break;
    case Kind::kToolEnd:
      text += close();
      break;
    case Kind::kFinish: {
      // Clients take a message without a text for a broken one.
      if (!said_) text += open(Block::kText, text_block(""));
      text += close();
      Json change = Json::object();
      change.set("stop_reason", stop_reason(*event.finish));
      change.set("stop_sequence", stop_sequence(*event.finish));
      Json last = typed("message_delta");
      last.set("delta", std::move(change));
      last.set("usage", usage_of(*event.finish));
      text += sse("message_delta", last);
      break;
    }
  }
  return text;
}

std::string MessagesEncoder::end() { return sse("message_stop", typed("message_stop")); }

// A request that waits for its place long enough to be asked after starts without knowing; the
// message's last event corrects it.
std::string MessagesEncoder::keep_alive(int64_t) {
  return started_ ? sse("ping", typed("ping")) : started(0);
}

std::string MessagesEncoder::failure(const ApiError& error) {
  return sse("error", error_json(error, start_.id));
}

Json MessagesEncoder::whole(const std::vector<WholeChoice>& choices) {
  const WholeChoice& choice = choices.front();
  Json::Array content;
  if (!choice.reasoning.empty()) {
    content.push_back(thinking_block(options_.thinking_omitted ? "" : choice.reasoning,
                                     signature_of(choice.reasoning)));
  }
  if (!choice.content.empty() || choice.calls.empty())
    content.push_back(text_block(choice.content));
  for (const WholeCall& call : choice.calls) {
    Result<Json> input = parse_json(call.arguments);
    content.push_back(tool_block(options_.ids("toolu_"), call.name,
                                 input.ok() ? std::move(*input) : Json::object()));
  }
  return message(std::move(content), stop_reason(choice.finish), stop_sequence(choice.finish),
                 usage_of(choice.finish));
}

}  // namespace sluice::server::anthropic
