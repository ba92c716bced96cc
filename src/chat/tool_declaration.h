// A function that the request offers to the model, as far as parsing and grammars look at it.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace sluice::chat {

struct ToolDeclaration {
  std::string name;
  Json parameters;      // JSON Schema of the arguments; null if the request gave none
  bool strict = false;  // the arguments must match the schema
};

// From the `tools` of a request as it came (normalise() drops "strict"): entries of the form
// {"type": "function", "function": {...}} or the function itself; what is neither is left out.
std::vector<ToolDeclaration> tool_declarations(const Json& tools);

}  // namespace sluice::chat
