// Reading optional members of a JSON object whose absence, null and wrong type mean the same:
// unset. Internal to src/model, for configs in which unknown words are judged by the reader of the
// whole.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include "base/json.h"

namespace sluice::model {

inline const Json* find_set(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

inline std::string text_of(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  if (value == nullptr) return {};
  return value->is_string() ? value->string() : value->dump();
}

inline int64_t integer_of(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  return value == nullptr ? 0 : value->as_int64().value_or(0);
}

inline bool true_of(const Json& object, std::string_view key) {
  const Json* value = find_set(object, key);
  return value != nullptr && value->is_boolean() && value->boolean();
}

inline bool is_empty_container(const Json& value) {
  return value.is_null() || (value.is_object() && value.members().empty()) ||
         (value.is_array() && value.items().empty());
}

inline std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

}  // namespace sluice::model
