// The one file of switches: every environment variable that sluice reads is listed and read here.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

struct Switch {
  const char* name;
  const char* values;
  const char* meaning;
};

// All of them, for `sluice --help-environment`.
std::span<const Switch> all_switches();

// The value of a listed variable; nothing if unset or empty. Asking for an unlisted name is a
// contract violation.
std::optional<std::string> environment(std::string_view name);

}  // namespace sluice
