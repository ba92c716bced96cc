// Any bytes as an importance matrix of either form: refused, or finite values that are not
// negative.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "checkpoint/imatrix.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto matrix = sluice::checkpoint::ImportanceMatrix::parse(
      std::as_bytes(std::span(data, size)), "fuzz.imatrix");
  if (!matrix.ok()) return 0;
  for (const auto& entry : matrix->entries()) {
    for (const float value : entry.values) {
      if (!std::isfinite(value) || value < 0) std::abort();
    }
    if (matrix->find(entry.tensor) != &entry) std::abort();
  }
  return 0;
}
