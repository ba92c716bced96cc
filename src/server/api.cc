#include "server/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <ctime>
#include <exception>

#include "server/anthropic/errors.h"
#include "server/openai/errors.h"

namespace sluice::server {

namespace asio = boost::asio;

namespace {
constexpr size_t kStoreBytes = size_t{64} << 20;
}

Api::Api(const ModelText& model, const ServerOptions& options, EngineHost& host,
         asio::thread_pool& workers, asio::thread_pool& compilers)
    : model_(model),
      options_(options),
      host_(host),
      workers_(workers),
      keys_(options.keys),
      cors_(options.allowed_origins),
      metrics_(model, options.sequences, options.prefix_cache, options.lossy_states),
      log_(options.request_log, options.quiet),
      generator_(model, options, host, workers, compilers, metrics_),
      responses_(kStoreBytes),
      started_(std::time(nullptr)) {
  add_generation_routes();
  add_responses_routes();
  add_model_routes();
  add_text_routes();
  add_render_routes();
  add_health_routes();
  add_page_routes();
  add_engine_routes();
  add_control_routes();
}

void Api::abort_all() {
  ApiError error;
  error.kind = ApiError::Kind::kUnavailable;
  error.message = "the server is going down";
  error.retry_after = 5;
  generator_.abort_all(error);
}

// By the route, and where there is none by what the client says it speaks.
ErrorShape Api::shape_of(const http::Request& request) const {
  const bool anthropic = request.path.starts_with("/v1/messages") ||
                         request.headers.find("anthropic-version").has_value();
  return anthropic ? anthropic::error_response : openai::error_response;
}

http::Response Api::error(const http::Request& request, const http::BadRequest& failure) {
  return shape_of(request)(from_http(failure.status, failure.message), request.id);
}

std::optional<ApiError> Api::unknown_model(const std::string& name, bool anthropic) const {
  const auto& names = model_.names;
  if (std::find(names.begin(), names.end(), name) != names.end()) return std::nullopt;
  // Anthropic's clients have the names of their models built in.
  if (anthropic && !options_.strict_models && name.starts_with("claude-")) return std::nullopt;
  ApiError error;
  error.kind = ApiError::Kind::kModelNotFound;
  error.param = "model";
  error.message = fmt::format("there is no model \"{}\" here; this server has \"{}\"", name,
                              names.empty() ? "" : names.front());
  return error;
}

AdapterContext Api::adapter_context() const {
  return {model_.vocabulary, model_.names.empty() ? "" : model_.names.front(),
          model_.policy.lenient_empty_tools};
}

void Api::get(const std::string& pattern, Handler handler, bool free) {
  router_.add({"GET", pattern, free});
  handlers_.push_back(std::move(handler));
}

void Api::remove(const std::string& pattern, Handler handler) {
  router_.add({"DELETE", pattern});
  handlers_.push_back(std::move(handler));
}

void Api::post(const std::string& pattern, ErrorShape shape, JsonHandler handler) {
  router_.add({"POST", pattern});
  handlers_.push_back(
      [this, shape, handler = std::move(handler)](http::Exchange& exchange,
                                                  RequestRecord& record) -> asio::awaitable<void> {
        // A body of megabytes takes a while to parse; connections must not wait for it.
        std::optional<Result<Json>> body;
        auto work = [&]() -> asio::awaitable<void> {
          body.emplace(parse_body(exchange.request().body));
          co_return;
        };
        co_await asio::co_spawn(workers_, work, asio::use_awaitable);
        if (!body->ok()) {
          http::Response response = shape(invalid_request(body->error()), exchange.request().id);
          co_await exchange.respond(std::move(response));
          co_return;
        }
        co_await handler(exchange, **body, record);
      });
}

asio::awaitable<void> Api::serve(http::Exchange& exchange) {
  const auto begin = std::chrono::steady_clock::now();
  const http::Request& request = exchange.request();
  RequestRecord record;
  record.id = request.id;
  record.route = "none";  // an unknown path is not a label: clients could make any number of them
  record.method = request.method;
  record.client = request.peer;
  record.request_bytes = request.body.size();
  exchange.add_header("x-request-id", request.id);
  const http::Headers cors = cors_.headers(request);
  for (const auto& [name, value] : cors.fields()) exchange.add_header(name, value);
  std::exception_ptr failure;
  try {
    co_await dispatch(exchange, record);
  } catch (...) {
    failure = std::current_exception();
    record.finish = "error";
  }
  record.status = exchange.status() != 0 ? exchange.status() : failure ? 500 : 499;
  record.response_bytes = exchange.bytes_sent();
  record.total_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  metrics_.count(record);
  log_.write(record);
  if (failure) std::rethrow_exception(failure);
}

asio::awaitable<void> Api::dispatch(http::Exchange& exchange, RequestRecord& record) {
  const http::Request& request = exchange.request();
  if (request.method == "OPTIONS") {
    http::Response response = cors_.preflight(request);
    co_await exchange.respond(std::move(response));
    co_return;
  }
  http::Match match = router_.find(request.method, request.path);
  const bool free = match.route != nullptr && match.route->free;
  ApiError error;
  if (!free && !keys_.admits(request.headers)) {
    error.kind = ApiError::Kind::kAuthentication;
    error.message = "the API key is missing or wrong";
  } else if (match.route == nullptr && match.allowed.empty()) {
    error.kind = ApiError::Kind::kNotFound;
    error.message = fmt::format("there is no {} {}", request.method, request.path);
  } else if (match.route == nullptr) {
    error.kind = ApiError::Kind::kMethod;
    error.message = fmt::format("{} does not take {}", request.path, request.method);
  } else {
    record.route = match.route->name;
    exchange.parameters = std::move(match.parameters);
    co_await handlers_[match.index](exchange, record);
    co_return;
  }
  http::Response response = shape_of(request)(error, request.id);
  if (!match.allowed.empty() && match.route == nullptr)
    response.headers.set("allow", fmt::format("{}", fmt::join(match.allowed, ", ")));
  co_await exchange.respond(std::move(response));
}

}  // namespace sluice::server
