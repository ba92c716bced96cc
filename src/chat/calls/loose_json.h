// Values as models write them where JSON is asked for: JSON, or a Python literal.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace sluice::chat {

// JSON, else Python's syntax for the same values: single quotes, True/False/None, trailing commas,
// tuples. Nothing if it is neither, or nested deeper than 64.
std::optional<Json> parse_loose_json(std::string_view text);

// JSON text with ", " and ": ", as Python's json.dumps(ensure_ascii=False) and the chat template
// write it.
void append_spaced_json(const Json& value, std::string& out);

}  // namespace sluice::chat
