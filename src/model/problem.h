// One finding about a checkpoint, as `inspect` prints it.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::model {

struct Problem {
  enum class Severity : uint8_t { kNote, kWarning, kError };
  Severity severity = Severity::kNote;
  std::string tensor;  // stored name; may be empty
  std::string message, remedy;
};

}  // namespace sluice::model
