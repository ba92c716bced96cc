// Functions that every template sees: range, dict, namespace, cycler, joiner, raise_exception,
// strftime_now.
#pragma once

#include <string_view>

#include "chat/jinja/interpreter.h"

namespace sluice::chat::jinja {

// The function of that name, or undefined.
Value find_global(std::string_view name);

}  // namespace sluice::chat::jinja
