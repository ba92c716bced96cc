// How often a text must be read so that the products of all inputs fit the memory there is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::calibrate {

// What is asked for, in order: a matrix's input, which several may share.
struct ProductDemand {
  std::string input;
  int64_t columns = 0;
};

struct ProductPass {
  size_t first = 0;                 // the demand before which it is made
  std::vector<std::string> inputs;  // gathered in it
};

struct ProductPlan {
  std::vector<ProductPass> passes;
  uint64_t most_bytes = 0;  // at once, with what factoring takes
};

// As few passes as the order of demands allows: each takes the inputs that come next while they fit
// `budget` bytes, beside those of earlier passes that are still wanted. Error (kDoesNotFit): a
// single input does not fit.
Result<ProductPlan> plan_product_passes(std::span<const ProductDemand> demands, uint64_t budget);

}  // namespace sluice::calibrate
