#include "server/openai/errors.h"

#include "server/http/json_response.h"

namespace sluice::server::openai {
namespace {

struct Shape {
  const char* type;
  const char* code;  // null: none
};

Shape shape_of(const ApiError& error) {
  using Kind = ApiError::Kind;
  switch (error.kind) {
    case Kind::kContextLength:
      return {"invalid_request_error", "context_length_exceeded"};
    case Kind::kAuthentication:
      return {"authentication_error", "invalid_api_key"};
    case Kind::kPermission:
      return {"permission_error", nullptr};
    case Kind::kNotFound:
      return {"not_found_error", nullptr};
    case Kind::kModelNotFound:
      return {"not_found_error", "model_not_found"};
    case Kind::kQueueFull:
      return {"rate_limit_error", "rate_limit_exceeded"};
    case Kind::kInternal:
      return {"server_error", "internal_error"};
    case Kind::kUnavailable:
      return {"server_error", "unavailable"};
    case Kind::kTimeout:
      return {"server_error", "timeout"};
    default:
      return {"invalid_request_error", nullptr};
  }
}

}  // namespace

Json error_json(const ApiError& error) {
  const Shape shape = shape_of(error);
  Json detail = Json::object();
  detail.set("message", error.message);
  detail.set("type", shape.type);
  detail.set("param", error.param.empty() ? Json() : Json(error.param));
  detail.set("code", shape.code == nullptr ? Json() : Json(shape.code));
  if (error.kind == ApiError::Kind::kContextLength) {
    detail.set("n_prompt_tokens", error.prompt_tokens);
    detail.set("n_ctx", error.context);
  }
  Json body = Json::object();
  body.set("error", std::move(detail));
  return body;
}

http::Response error_response(const ApiError& error, const std::string&) {
  http::Response response = http::json_response(error_json(error), error.http_status());
  if (error.retry_after > 0) {
    response.headers.set("retry-after", std::to_string(error.retry_after));
    response.headers.set("x-should-retry", "true");
  }
  if (response.status == 401) response.headers.set("www-authenticate", "Bearer");
  return response;
}

}  // namespace sluice::server::openai
