// Any machine: plain C++ for the baseline.
#include "backend/cpu/portable/lanes-inl.h"
// After the lanes, which they are written over.
#include "backend/cpu/float_product-inl.h"
#include "backend/cpu/integer_product-inl.h"

namespace sluice::cpu::portable {

void integer_product(const ProductCall& call) { run_integer_product(call); }
void float_product(const ProductCall& call) { run_float_product(call); }

}  // namespace sluice::cpu::portable
