// Values as text: Python's str() and repr(), and the tojson of chat templates (json.dumps).
#pragma once

#include <optional>
#include <string>

#include "chat/jinja/value.h"

namespace sluice::chat::jinja {

enum class PrintStyle { kStr, kRepr };

// Characters that a value from the request brings along are data, brackets and quotes of a
// container from the request included. Strings under kStr are returned as they are.
Text to_text(const Value& value, PrintStyle style = PrintStyle::kStr);

// repr() of a text, for messages.
std::string python_quoted(std::string_view text);
// repr() of a float: the shortest digits that read back equal, in Python's notation.
std::string float_text(double value);

struct JsonStyle {
  std::optional<std::string> indent;  // one level; absent: all on one line
  std::string item_separator = ", ", key_separator = ": ";
  bool ensure_ascii = false, sort_keys = false;
};
Text to_json_text(const Value& value, const JsonStyle& style);

}  // namespace sluice::chat::jinja
