// What a body of a generating route would be as tokens: rendered, or only counted
// (serving-openai.md 4.8, serving-anthropic.md 5.8).
#include "server/anthropic/errors.h"
#include "server/api.h"
#include "server/http/json_response.h"
#include "server/openai/errors.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

Json prompt_json(const PreparedPrompt& prompt) {
  Json::Array ids;
  for (const TokenId id : prompt.ids) ids.emplace_back(id);
  Json body = Json::object();
  body.set("prompt", prompt.text);
  body.set("tokens", std::move(ids));
  body.set("thinking_open", prompt.thinking_open);
  return body;
}

}  // namespace

asio::awaitable<void> Api::answer_prompt(http::Exchange& exchange, Answerable<Job> job,
                                         ErrorShape shape, PromptView view) {
  const std::string& id = exchange.request().id;
  std::optional<ApiError> error;
  if (!job.ok()) error = job.error();
  if (!error) error = unknown_model(job->request.model, shape != openai::error_response);
  http::Response response;
  if (!error) {
    auto prompts = co_await generator_.prepare(job->request);
    if (view == PromptView::kRendered && prompts.ok()) {
      Json::Array rendered;
      for (const PreparedPrompt& prompt : *prompts) rendered.push_back(prompt_json(prompt));
      // One conversation is one prompt; the completions route may hold any number.
      response = http::json_response(job->request.conversation ? rendered.front() : Json(rendered));
    } else if (view != PromptView::kRendered &&
               (prompts.ok() || prompts.error().kind == ApiError::Kind::kContextLength)) {
      // A prompt that does not fit is counted all the same: that is what clients ask for.
      Json body = Json::object();
      if (view == PromptView::kResponsesCount) body.set("object", "response.input_tokens");
      body.set("input_tokens", prompts.ok() ? static_cast<int64_t>(prompts->front().ids.size())
                                            : prompts.error().prompt_tokens);
      response = http::json_response(body);
    } else {
      error = prompts.error();
    }
  }
  if (error) response = shape(*error, id);
  if (shape != openai::error_response) response.headers.set("request-id", "req_" + id);
  co_await exchange.respond(std::move(response));
}

void Api::add_render_routes() {
  using Maker = Answerable<Job> (Api::*)(const Json&);
  const auto add = [this](const char* path, ErrorShape shape, Maker make, PromptView view) {
    post(path, shape,
         [this, shape, make, view](http::Exchange& exchange, const Json& body,
                                   RequestRecord&) -> asio::awaitable<void> {
           Answerable<Job> job = (this->*make)(body);
           co_await answer_prompt(exchange, std::move(job), shape, view);
         });
  };
  const ErrorShape openai_shape = openai::error_response,
                   anthropic_shape = anthropic::error_response;
  using enum PromptView;
  for (const char* path : {"/apply-template", "/v1/chat/completions/render"})
    add(path, openai_shape, &Api::chat_job, kRendered);
  add("/v1/completions/render", openai_shape, &Api::completions_job, kRendered);
  add("/v1/responses/render", openai_shape, &Api::responses_job, kRendered);
  add("/v1/messages/render", anthropic_shape, &Api::messages_job, kRendered);
  add("/v1/chat/completions/input_tokens", openai_shape, &Api::chat_job, kResponsesCount);
  add("/v1/responses/input_tokens", openai_shape, &Api::responses_job, kResponsesCount);
  add("/v1/messages/count_tokens", anthropic_shape, &Api::messages_job, kCount);
}

}  // namespace sluice::server
