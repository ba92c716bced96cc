// What went wrong, before a protocol gives it its shape and words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

namespace sluice::server {

struct ApiError {
  enum class Kind {
    kInvalid,         // 400
    kContextLength,   // 400
    kAuthentication,  // 401
    kPermission,      // 403
    kNotFound,        // 404: a path, a stored response
    kModelNotFound,   // 404
    kMethod,          // 405
    kTooLarge,        // 413
    kMediaType,       // 415
    kQueueFull,       // 429 (529 on the Anthropic route)
    kInternal,        // 500
    kUnavailable,     // 503: loading, draining
    kTimeout,         // 504
    kHttp,            // whatever `status` says: framing, sizes, lateness
  };
  Kind kind = Kind::kInternal;
  std::string message;
  std::string param;                       // the field; empty if none
  int status = 0;                          // with kHttp
  int retry_after = 0;                     // seconds; with kQueueFull and kUnavailable
  int64_t prompt_tokens = 0, context = 0;  // with kContextLength

  int http_status() const;
};

// An error of an adapter or of the engine's door: `what` is the field, as "messages[3].role".
ApiError invalid_request(const Error& error);
ApiError from_http(int status, std::string message);

// Like Result, for what may fail with an ApiError.
template <typename T>
class [[nodiscard]] Answerable {
 public:
  Answerable(T value) : value_(std::move(value)) {}         // NOLINT: implicit
  Answerable(ApiError error) : error_(std::move(error)) {}  // NOLINT: implicit
  bool ok() const { return value_.has_value(); }
  T& operator*() { return *value_; }
  T* operator->() { return &*value_; }
  const ApiError& error() const { return error_; }

 private:
  std::optional<T> value_;
  ApiError error_;
};

}  // namespace sluice::server
