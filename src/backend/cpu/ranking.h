// Which kernel multiplies: the one file that ranks those of all instruction sets.
#pragma once

#include <cstdint>

#include "backend/cpu/detect.h"
#include "backend/cpu/product.h"

namespace sluice::cpu {

// What a kernel is wanted for. Borrows the weight.
struct Wanted {
  InstructionSet set;
  const PackedView& weight;
  int64_t rows = 1;
  bool digit = false;   // one digit an activation
  bool prompt = false;  // the rows' role
};

struct Kernel {
  bool (*supports)(const Wanted& wanted);
  // For calls that supports() was true for, with activations in the form that reads() names.
  ProductFunction product;
  Prepared (*reads)(const Wanted& wanted);
};

// The first kernel in order of preference that supports it; there always is one. Depends on its
// argument alone, so that the form for which rows are prepared is the one that is read.
const Kernel& choose_kernel(const Wanted& wanted);

}  // namespace sluice::cpu
