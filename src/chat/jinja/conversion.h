// One formatted value: what "%-8.3f" and "{:>8.3f}" have in common. Private to the two formatters.
#pragma once

#include <optional>
#include <string>

#include "chat/jinja/interpreter.h"

namespace sluice::chat::jinja {

inline constexpr int64_t kMaxWidth = 100'000;  // characters; more is refused

// One conversion: "%-8.3f" or "{:>8.3f}", both brought to this form.
struct Conversion {
  char type = 0;       // 0: str() of the value
  char alignment = 0;  // '<' '>' '^' '=' or 0: the type's own
  std::string fill = " ";
  char sign = 0;  // '+' ' ' or 0
  bool alternate = false, grouped = false;
  int64_t width = 0;
  std::optional<int64_t> precision;
};

// Whether the value's characters came from the request.
bool any_data(const Value& value);

// The value's characters by the conversion, padded; all of one origin, except a text without
// padding.
Text convert(Interpreter& interpreter, const Value& value, const Conversion& how);

}  // namespace sluice::chat::jinja
