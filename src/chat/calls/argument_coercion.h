// What a parameter's raw text means, by the function's schema (serving-tools.md 3.3).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace sluice::chat {

// The types that a schema lets a value have, as bits.
enum ValueTypes : uint8_t {
  kTypeNull = 1,
  kTypeInteger = 2,
  kTypeNumber = 4,
  kTypeBoolean = 8,
  kTypeObject = 16,
  kTypeArray = 32,
  kTypeString = 64,
};

struct ParameterType {
  uint8_t types = kTypeString;  // of ValueTypes
  std::vector<Json> members;    // of enum and const

  // Text goes out as it comes, verbatim.
  bool is_plain_text() const { return types == kTypeString && members.empty(); }
};

// Type of the parameter `key` under a function's `parameters` (any Json; null: nothing is known).
// A key that the schema does not name is text, or what additionalProperties says.
ParameterType parameter_type(const Json& parameters, std::string_view key);

// Names of the properties that `parameters` declares.
std::vector<std::string> parameter_names(const Json& parameters);

// `raw` as JSON text. Never fails: what fits no type of the schema is a string, so that the client
// sees what the model wrote. Digits of numbers are kept as they are.
std::string coerce_argument(std::string_view raw, const ParameterType& type);

}  // namespace sluice::chat
