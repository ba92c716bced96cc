#include "server/anthropic/errors.h"

#include <fmt/format.h>

#include "server/http/json_response.h"

namespace sluice::server::anthropic {
namespace {

const char* type_of(const ApiError& error) {
  using Kind = ApiError::Kind;
  switch (error.kind) {
    case Kind::kAuthentication:
      return "authentication_error";
    case Kind::kPermission:
      return "permission_error";
    case Kind::kNotFound:
    case Kind::kModelNotFound:
      return "not_found_error";
    case Kind::kTooLarge:
      return "request_too_large";
    case Kind::kQueueFull:
    case Kind::kUnavailable:
      return "overloaded_error";
    case Kind::kInternal:
      return "api_error";
    case Kind::kTimeout:
      return "timeout_error";
    default:
      return "invalid_request_error";
  }
}

}  // namespace

Json error_json(const ApiError& error, const std::string& request_id) {
  std::string message = error.message;
  // Claude Code knows by these words that it has to compact its history.
  if (error.kind == ApiError::Kind::kContextLength) {
    message = fmt::format("prompt is too long: {} tokens > {} maximum", error.prompt_tokens,
                          error.context);
  }
  Json detail = Json::object();
  detail.set("type", type_of(error));
  detail.set("message", std::move(message));
  Json body = Json::object();
  body.set("type", "error");
  body.set("error", std::move(detail));
  body.set("request_id", "req_" + request_id);
  return body;
}

http::Response error_response(const ApiError& error, const std::string& request_id) {
  constexpr int kOverloaded = 529;
  http::Response response = http::json_response(
      error_json(error, request_id),
      error.kind == ApiError::Kind::kQueueFull ? kOverloaded : error.http_status());
  response.headers.set("request-id", "req_" + request_id);
  if (error.retry_after > 0) {
    response.headers.set("retry-after", std::to_string(error.retry_after));
    response.headers.set("x-should-retry", "true");
  }
  if (response.status == 401) response.headers.set("www-authenticate", "Bearer");
  return response;
}

}  // namespace sluice::server::anthropic
