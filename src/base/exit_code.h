// How sluice's programs end with an error: one table for `sluice` and `sluice-train`.
#pragma once

#include "base/json.h"
#include "base/result.h"

namespace sluice {

// As spec/cli.md lists them.
constexpr int exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kFailed:
      return 1;
    case ErrorCode::kUsage:
      return 2;
    case ErrorCode::kBadInput:
      return 3;
    case ErrorCode::kDoesNotFit:
      return 4;
    case ErrorCode::kRefused:
      return 5;
    case ErrorCode::kInterrupted:
      return 130;
  }
  return 1;
}

// {"error":{"code":…,"message":…,"remedy":…}}, what --json prints in place of a result.
inline Json error_document(const Error& error) {
  Json detail = Json::object();
  detail.set("code", exit_code(error.code));
  detail.set("message", error.why.empty() ? error.what : error.what + ": " + error.why);
  detail.set("remedy", error.remedy);
  Json document = Json::object();
  document.set("error", std::move(detail));
  return document;
}

}  // namespace sluice
