#include "base/check.h"

namespace sluice {

void throw_contract_violation(const char* condition, const std::string& operands,
                              const std::source_location& where) {
  throw ContractViolation(fmt::format("{}:{}: {} does not hold: {}", where.file_name(),
                                      where.line(), condition, operands));
}

}  // namespace sluice
