// Health, version and metrics (serving-ops.md 7.1).
#include "server/api.h"
#include "server/http/json_response.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

Json status_json(const char* status) {
  Json body = Json::object();
  body.set("status", status);
  return body;
}

Json unavailable_json(int code, const char* message) {
  Json detail = Json::object();
  detail.set("code", code);
  detail.set("message", message);
  detail.set("type", "unavailable_error");
  Json body = Json::object();
  body.set("error", std::move(detail));
  return body;
}

}  // namespace

void Api::add_health_routes() {
  const auto live = [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    http::Response response =
        host_.alive() ? http::json_response(status_json("ok"))
                      : http::json_response(unavailable_json(500, "the engine stopped"), 500);
    co_await exchange.respond(std::move(response));
  };
  const auto ready = [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    http::Response response = http::json_response(status_json("ok"));
    if (!host_.alive())
      response = http::json_response(unavailable_json(503, "the engine stopped"), 503);
    else if (draining_)
      response = http::json_response(unavailable_json(503, "draining"), 503);
    co_await exchange.respond(std::move(response));
  };
  for (const char* path : {"/live", "/ping"}) get(path, live, true);
  for (const char* path : {"/health", "/v1/health", "/ready"}) get(path, ready, true);

  get(
      "/version",
      [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
        Json body = Json::object();
        body.set("version", options_.version);
        http::Response response = http::json_response(body);
        co_await exchange.respond(std::move(response));
      },
      true);
  get(
      "/metrics",
      [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
        http::Response response;
        response.headers.set("content-type", "text/plain; version=0.0.4; charset=utf-8");
        const auto known = host_.cache_use();
        response.body = metrics_.render(host_.counters(), page_use().share(),
                                        known ? known->disk : runtime::DiskUse());
        co_await exchange.respond(std::move(response));
      },
      !options_.metrics_need_key);
  get("/load", [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    Json body = Json::object();
    body.set("server_load", static_cast<int64_t>(generator_.active()));
    http::Response response = http::json_response(body);
    co_await exchange.respond(std::move(response));
  });
}

}  // namespace sluice::server
