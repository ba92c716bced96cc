// /v1/responses: an answer, and those that were stored.
#include "server/api.h"
#include "server/http/json_response.h"
#include "server/openai/errors.h"
#include "server/openai/responses_encoder.h"
#include "server/openai/responses_request.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

ApiError no_response(const std::string& id) {
  ApiError error;
  error.kind = ApiError::Kind::kNotFound;
  error.param = "previous_response_id";
  error.message = "there is no response \"" + id + "\" here";
  return error;
}

}  // namespace

Answerable<Job> Api::responses_job(const Json& body) {
  const Json* previous = body.find("previous_response_id");
  const StoredResponse* history = nullptr;
  if (previous != nullptr && previous->is_string()) {
    history = responses_.find(previous->string());
    if (history == nullptr) return no_response(previous->string());
  }
  auto read = openai::read_responses_request(body, adapter_context(),
                                             history != nullptr ? &history->items : nullptr);
  if (!read.ok()) return invalid_request(read.error());
  openai::ResponsesRequest& request = *read;
  openai::ResponsesEncoderOptions encoding;
  encoding.echoed = std::move(request.echoed);
  encoding.summary = request.summary;
  encoding.encrypted_content = request.encrypted_content;
  if (request.store) {
    encoding.on_complete = [this, items = std::move(request.items)](const Json& response) {
      StoredResponse stored{response, items};
      for (const Json& item : response.find("output")->items()) stored.items.push_back(item);
      responses_.put(response.find("id")->string(), std::move(stored));
    };
  }
  Job job;
  job.request = std::move(request.neutral);
  job.make_encoder = [encoding = std::move(encoding)](AnswerStart start) {
    return std::make_unique<openai::ResponsesEncoder>(std::move(start), encoding);
  };
  return job;
}

void Api::add_responses_routes() {
  const auto create = [this](http::Exchange& exchange, const Json& body,
                             RequestRecord& record) -> asio::awaitable<void> {
    Answerable<Job> job = responses_job(body);
    co_await generate(exchange, std::move(job), openai::error_response, record);
  };
  for (const char* path : {"/v1/responses", "/responses"})
    post(path, openai::error_response, create);

  const auto show = [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    const std::string& id = exchange.parameters.at("id");
    const StoredResponse* stored = responses_.find(id);
    http::Response response = stored != nullptr ? http::json_response(stored->body)
                                                : openai::error_response(no_response(id));
    co_await exchange.respond(std::move(response));
  };
  const auto forget = [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    const std::string& id = exchange.parameters.at("id");
    http::Response response = openai::error_response(no_response(id));
    if (responses_.erase(id)) {
      Json body = Json::object();
      body.set("id", id);
      body.set("object", "response.deleted");
      body.set("deleted", true);
      response = http::json_response(body);
    }
    co_await exchange.respond(std::move(response));
  };
  // Only what runs in the background can be cancelled so, and nothing does.
  const auto cancel = [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    const std::string& id = exchange.parameters.at("id");
    ApiError error = no_response(id);
    if (responses_.find(id) != nullptr) {
      error.kind = ApiError::Kind::kInvalid;
      error.param = "id";
      error.message = "the response was not made in the background: close its stream instead";
    }
    http::Response response = openai::error_response(error);
    co_await exchange.respond(std::move(response));
  };
  for (const std::string path : {"/v1/responses/{id}", "/responses/{id}"}) {
    get(path, show);
    remove(path, forget);
    router_.add({"POST", path + "/cancel"});
    handlers_.push_back(cancel);
  }
}

}  // namespace sluice::server
