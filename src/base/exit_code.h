// The exit codes of sluice's programs: one table for `sluice` and `sluice-train`.
#pragma once

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

}  // namespace sluice
