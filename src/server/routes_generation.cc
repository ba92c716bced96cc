// The routes that make answers: each reads its protocol's body and hands it to the generator.
#include "server/anthropic/errors.h"
#include "server/anthropic/messages_encoder.h"
#include "server/anthropic/messages_request.h"
#include "server/api.h"
#include "server/openai/chat_encoder.h"
#include "server/openai/chat_request.h"
#include "server/openai/completions_encoder.h"
#include "server/openai/completions_request.h"
#include "server/openai/errors.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

ApiError draining_error() {
  ApiError error;
  error.kind = ApiError::Kind::kUnavailable;
  error.message = "the server is going down";
  error.retry_after = 5;
  return error;
}

}  // namespace

// What every route asks before it runs: is there room for new work, and is it our model?
asio::awaitable<void> Api::generate(http::Exchange& exchange, Answerable<Job> job, ErrorShape shape,
                                    RequestRecord& record) {
  std::optional<ApiError> error;
  if (draining_) {
    error = draining_error();
  } else if (!job.ok()) {
    error = job.error();
  } else {
    error = unknown_model(job->request.model, shape != openai::error_response);
  }
  if (error) {
    http::Response response = shape(*error, exchange.request().id);
    if (draining_) response.headers.set("connection", "close");
    co_await exchange.respond(std::move(response));
    co_return;
  }
  job->error_shape = shape;
  co_await generator_.run(exchange, std::move(*job), record);
}

Answerable<Job> Api::chat_job(const Json& body) {
  auto read = openai::read_chat_request(body, adapter_context());
  if (!read.ok()) return invalid_request(read.error());
  openai::ChatRequest& chat = *read;
  openai::ChatEncoderOptions encoding;
  encoding.reasoning_field = options_.reasoning_field;
  encoding.stream = chat.stream;
  encoding.inline_reasoning = chat.inline_reasoning;
  encoding.hold_reasoning = chat.hold_reasoning;
  encoding.logprobs = chat.neutral.logprobs.top >= 0;
  encoding.tokenizer = model_.tokenizer;
  Job job;
  job.request = std::move(chat.neutral);
  job.make_encoder = [encoding](AnswerStart start) {
    return std::make_unique<openai::ChatEncoder>(std::move(start), encoding);
  };
  return job;
}

Answerable<Job> Api::completions_job(const Json& body) {
  auto read = openai::read_completions_request(body, adapter_context());
  if (!read.ok()) return invalid_request(read.error());
  openai::CompletionsRequest& completions = *read;
  openai::CompletionsEncoderOptions encoding;
  encoding.stream = completions.stream;
  encoding.echo = completions.neutral.echo;
  encoding.logprobs = completions.neutral.logprobs.top >= 0;
  encoding.samples = completions.neutral.choices;
  encoding.tokenizer = model_.tokenizer;
  Job job;
  job.request = std::move(completions.neutral);
  job.make_encoder = [encoding](AnswerStart start) {
    return std::make_unique<openai::CompletionsEncoder>(std::move(start), encoding);
  };
  return job;
}

Answerable<Job> Api::messages_job(const Json& body) {
  auto read = anthropic::read_messages_request(body, adapter_context());
  if (!read.ok()) return invalid_request(read.error());
  anthropic::MessagesRequest& messages = *read;
  anthropic::MessagesEncoderOptions encoding;
  encoding.thinking_omitted = messages.thinking_omitted;
  Job job;
  job.request = std::move(messages.neutral);
  job.make_encoder = [encoding](AnswerStart start) {
    return std::make_unique<anthropic::MessagesEncoder>(std::move(start), encoding);
  };
  return job;
}

void Api::add_generation_routes() {
  const auto chat = [this](http::Exchange& exchange, const Json& body,
                           RequestRecord& record) -> asio::awaitable<void> {
    Answerable<Job> job = chat_job(body);
    co_await generate(exchange, std::move(job), openai::error_response, record);
  };
  for (const char* path : {"/v1/chat/completions", "/chat/completions"})
    post(path, openai::error_response, chat);
  const auto completions = [this](http::Exchange& exchange, const Json& body,
                                  RequestRecord& record) -> asio::awaitable<void> {
    Answerable<Job> job = completions_job(body);
    co_await generate(exchange, std::move(job), openai::error_response, record);
  };
  for (const char* path : {"/v1/completions", "/completions"})
    post(path, openai::error_response, completions);
  const auto messages = [this](http::Exchange& exchange, const Json& body,
                               RequestRecord& record) -> asio::awaitable<void> {
    // Anthropic's SDK reads this name.
    exchange.add_header("request-id", "req_" + exchange.request().id);
    Answerable<Job> job = messages_job(body);
    co_await generate(exchange, std::move(job), anthropic::error_response, record);
  };
  post("/v1/messages", anthropic::error_response, messages);
}

}  // namespace sluice::server
