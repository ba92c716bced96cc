#include "server/openai/responses_encoder.h"

#include <fmt/format.h>

#include "server/openai/errors.h"

namespace sluice::server::openai {
namespace {

using Kind = AnswerEvent::Kind;

Json part(const char* type, const std::string& text) {
  Json made = Json::object();
  made.set("type", type);
  made.set("text", text);
  return made;
}

Json output_text(const std::string& text) {
  Json made = part("output_text", text);
  made.set("annotations", Json::array());
  made.set("logprobs", Json::array());
  return made;
}

bool was_cut(const Finish& finish) {
  return finish.cause == Finish::Cause::kLength || finish.cause == Finish::Cause::kContextFull;
}

Json usage_json(const Finish& finish) {
  const runtime::RequestReport& report = finish.report;
  Json input = Json::object();
  input.set("cached_tokens", report.cached_tokens);
  input.set("cache_write_tokens", 0);
  Json output = Json::object();
  output.set("reasoning_tokens", finish.reasoning_tokens);
  Json usage = Json::object();
  usage.set("input_tokens", report.prompt_tokens);
  usage.set("input_tokens_details", std::move(input));
  usage.set("output_tokens", finish.completion_tokens);
  usage.set("output_tokens_details", std::move(output));
  usage.set("total_tokens", report.prompt_tokens + finish.completion_tokens);
  return usage;
}

}  // namespace

ResponsesEncoder::ResponsesEncoder(AnswerStart start, ResponsesEncoderOptions options)
    : start_(std::move(start)), options_(std::move(options)), id_(options_.ids("resp_")) {}

Json ResponsesEncoder::response(const char* status) const {
  Json body = Json::object();
  body.set("id", id_);
  body.set("object", "response");
  body.set("created_at", start_.created);
  body.set("status", status);
  body.set("error", Json());
  body.set("incomplete_details", Json());
  body.set("model", start_.model);
  body.set("output", output_);
  for (const auto& [name, value] : options_.echoed.members()) body.set(name, value);
  body.set("usage", Json());
  return body;
}

std::string ResponsesEncoder::sse(const char* type, Json fields) {
  Json event = Json::object();
  event.set("type", type);
  event.set("sequence_number", sequence_++);
  for (auto& [name, value] : fields.members()) event.set(name, std::move(value));
  return fmt::format("event: {}\ndata: {}\n\n", type, event.dump());
}

Json ResponsesEncoder::place(bool with_content) const {
  Json fields = Json::object();
  fields.set("item_id", *item().find("id"));
  fields.set("output_index", static_cast<int64_t>(output_.items().size()) - 1);
  if (with_content) fields.set("content_index", 0);
  return fields;
}

std::string ResponsesEncoder::begin() {
  std::string text;
  for (const char* type : {"response.created", "response.in_progress"}) {
    Json fields = Json::object();
    fields.set("response", response("in_progress"));
    text += sse(type, std::move(fields));
  }
  return text;
}

std::string ResponsesEncoder::open(Item kind, Json item) {
  std::string text = close("completed");
  open_ = kind;
  text_.clear();
  output_.push_back(item);
  Json fields = Json::object();
  fields.set("output_index", static_cast<int64_t>(output_.items().size()) - 1);
  fields.set("item", std::move(item));
  text += sse("response.output_item.added", std::move(fields));
  if (kind == Item::kCall) return text;
  Json content = place(true);
  content.set("part", kind == Item::kReasoning ? part("reasoning_text", "") : output_text(""));
  return text + sse("response.content_part.added", std::move(content));
}

std::string ResponsesEncoder::close_reasoning(Json& item) {
  Json done = place(true);
  done.set("text", text_);
  std::string text = sse("response.reasoning_text.done", std::move(done));
  Json content = place(true);
  content.set("part", part("reasoning_text", text_));
  text += sse("response.content_part.done", std::move(content));
  item.set("content", Json::Array{part("reasoning_text", text_)});
  if (options_.encrypted_content) item.set("encrypted_content", text_);
  if (!options_.summary) return text;
  // The thought is its own summary.
  item.set("summary", Json::Array{part("summary_text", text_)});
  const auto summary = [&](const char* type, const char* name, Json value) {
    Json fields = place(false);
    fields.set("summary_index", 0);
    fields.set(name, std::move(value));
    text += sse(type, std::move(fields));
  };
  summary("response.reasoning_summary_part.added", "part", part("summary_text", ""));
  summary("response.reasoning_summary_text.delta", "delta", text_);
  summary("response.reasoning_summary_text.done", "text", text_);
  summary("response.reasoning_summary_part.done", "part", part("summary_text", text_));
  return text;
}

std::string ResponsesEncoder::close_message(Json& item) {
  Json done = place(true);
  done.set("text", text_);
  done.set("logprobs", Json::array());
  std::string text = sse("response.output_text.done", std::move(done));
  Json content = place(true);
  content.set("part", output_text(text_));
  text += sse("response.content_part.done", std::move(content));
  item.set("content", Json::Array{output_text(text_)});
  return text;
}

std::string ResponsesEncoder::close_call(Json& item) {
  Json done = place(false);
  done.set("name", *item.find("name"));
  done.set("arguments", text_);
  item.set("arguments", text_);
  return sse("response.function_call_arguments.done", std::move(done));
}

std::string ResponsesEncoder::close(const char* status) {
  if (open_ == Item::kNone) return {};
  Json finished = item();
  std::string text = open_ == Item::kReasoning ? close_reasoning(finished)
                     : open_ == Item::kMessage ? close_message(finished)
                                               : close_call(finished);
  finished.set("status", status);
  output_.items().back() = finished;
  open_ = Item::kNone;
  Json fields = Json::object();
  fields.set("output_index", static_cast<int64_t>(output_.items().size()) - 1);
  fields.set("item", std::move(finished));
  return text + sse("response.output_item.done", std::move(fields));
}

std::string ResponsesEncoder::event(int, const AnswerEvent& event) {
  std::string text;
  const auto begin_item = [&](const char* type, const char* prefix) {
    Json item = Json::object();
    item.set("type", type);
    item.set("id", options_.ids(prefix));
    item.set("status", "in_progress");
    return item;
  };
  const auto add = [&](const char* type, bool with_content) {
    text_ += event.text;
    Json fields = place(with_content);
    fields.set("delta", event.text);
    if (open_ == Item::kMessage) fields.set("logprobs", Json::array());
    text += sse(type, std::move(fields));
  };
  switch (event.kind) {
    case Kind::kReasoning:
      if (open_ != Item::kReasoning) {
        Json item = begin_item("reasoning", "rs_");
        item.set("summary", Json::array());
        item.set("content", Json::array());
        item.set("encrypted_content", Json());
        text += open(Item::kReasoning, std::move(item));
      }
      add("response.reasoning_text.delta", true);
      break;
    case Kind::kContent:
      if (open_ != Item::kMessage) {
        Json item = begin_item("message", "msg_");
        item.set("role", "assistant");
        item.set("content", Json::array());
        text += open(Item::kMessage, std::move(item));
      }
      add("response.output_text.delta", true);
      break;
    case Kind::kToolStart: {
      Json item = begin_item("function_call", "fc_");
      item.set("call_id", options_.ids("call_"));
      item.set("name", event.text);
      item.set("arguments", "");
      text += open(Item::kCall, std::move(item));
      break;
    }
    case Kind::kToolArguments:
      add("response.function_call_arguments.delta", false);
      break;
    case Kind::kToolEnd:
      text += close("completed");
      break;
    case Kind::kFinish:
      finish_ = *event.finish;
      text += close(was_cut(finish_) ? "incomplete" : "completed");
      break;
  }
  return text;
}

Json ResponsesEncoder::final_response() const {
  const bool cut = was_cut(finish_);
  Json body = response(cut ? "incomplete" : "completed");
  if (cut) {
    Json details = Json::object();
    details.set("reason", "max_output_tokens");
    body.set("incomplete_details", std::move(details));
  }
  body.set("usage", usage_json(finish_));
  if (options_.on_complete) options_.on_complete(body);
  return body;
}

std::string ResponsesEncoder::end() {
  Json fields = Json::object();
  fields.set("response", final_response());
  return sse(was_cut(finish_) ? "response.incomplete" : "response.completed", std::move(fields));
}

std::string ResponsesEncoder::keep_alive(int64_t) { return ": ping\n\n"; }

std::string ResponsesEncoder::failure(const ApiError& error) {
  Json detail = Json::object();
  detail.set("code", "server_error");
  detail.set("message", error.message);
  Json body = response("failed");
  body.set("error", detail);
  Json fields = Json::object();
  fields.set("response", std::move(body));
  detail.set("param", Json());
  return sse("response.failed", std::move(fields)) + sse("error", std::move(detail));
}

Json ResponsesEncoder::whole(const std::vector<WholeChoice>& choices) {
  const WholeChoice& choice = choices.front();
  begin();
  if (!choice.reasoning.empty()) event(0, {Kind::kReasoning, choice.reasoning});
  if (!choice.content.empty()) event(0, {Kind::kContent, choice.content});
  for (const WholeCall& call : choice.calls) {
    event(0, {Kind::kToolStart, call.name});
    event(0, {Kind::kToolArguments, call.arguments});
    if (call.complete) event(0, {Kind::kToolEnd, {}});
  }
  AnswerEvent finish{Kind::kFinish, {}};
  finish.finish = choice.finish;
  event(0, finish);
  return final_response();
}

}  // namespace sluice::server::openai
