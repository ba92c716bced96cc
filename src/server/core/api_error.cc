#include "server/core/api_error.h"

namespace sluice::server {

int ApiError::http_status() const {
  switch (kind) {
    case Kind::kInvalid:
    case Kind::kContextLength:
      return 400;
    case Kind::kAuthentication:
      return 401;
    case Kind::kPermission:
      return 403;
    case Kind::kNotFound:
    case Kind::kModelNotFound:
      return 404;
    case Kind::kMethod:
      return 405;
    case Kind::kTooLarge:
      return 413;
    case Kind::kMediaType:
      return 415;
    case Kind::kQueueFull:
      return 429;
    case Kind::kInternal:
      return 500;
    case Kind::kUnavailable:
      return 503;
    case Kind::kTimeout:
      return 504;
    case Kind::kHttp:
      return status;
  }
  return 500;
}

ApiError invalid_request(const Error& error) {
  ApiError api;
  // A failure that is not the request's fault must not look like one.
  api.kind = error.code == ErrorCode::kUsage ? ApiError::Kind::kInvalid : ApiError::Kind::kInternal;
  api.message = error.message();
  api.param = error.what.substr(0, error.what.find_first_of(".["));
  return api;
}

ApiError from_http(int status, std::string message) {
  ApiError api;
  api.kind = status == 413   ? ApiError::Kind::kTooLarge
             : status == 415 ? ApiError::Kind::kMediaType
             : status == 500 ? ApiError::Kind::kInternal
                             : ApiError::Kind::kHttp;
  api.status = status;
  api.message = std::move(message);
  return api;
}

}  // namespace sluice::server
