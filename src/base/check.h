// Checks of promises among ourselves. A failure is a bug in sluice, never the user's mistake.
#pragma once

#include <fmt/format.h>

#include <source_location>
#include <stdexcept>
#include <string>

namespace sluice {

// Thrown by SLUICE_CHECK; only main() and the engine's loop catch it.
class ContractViolation : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void throw_contract_violation(const char* condition, const std::string& operands,
                                           const std::source_location& where);

}  // namespace sluice

// SLUICE_CHECK(rows == out.rows, "rows {} out.rows {}", rows, out.rows);
#define SLUICE_CHECK(condition, ...)                                             \
  do {                                                                           \
    if (!(condition)) [[unlikely]]                                               \
      ::sluice::throw_contract_violation(#condition, ::fmt::format(__VA_ARGS__), \
                                         ::std::source_location::current());     \
  } while (false)
