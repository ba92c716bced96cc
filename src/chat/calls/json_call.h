// A call written as JSON between the markers, the form of older models: {"name", "arguments"}
// (serving-tools.md 3.2.3).
#pragma once

#include <optional>
#include <string>

namespace sluice::chat {

struct JsonCall {
  std::string name;
  std::string arguments;  // JSON text of an object, not coerced
};

// Finds the end of the object. Not a validator: it gives up early on what cannot be a call, so that
// prose after a brace is not held back, and leaves the rest to the parser of JSON.
class JsonCallReader {
 public:
  enum class State { kMore, kComplete, kBroken };

  State push(char c);  // of marked text, from the opening brace on
  // The call, if the complete text is one.
  std::optional<JsonCall> call() const;

 private:
  State step(char c);

  std::string text_;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
};

}  // namespace sluice::chat
