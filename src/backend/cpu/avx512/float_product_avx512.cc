// Needs AVX-512 F, BW, VL, DQ.
#include "backend/cpu/avx512/lanes-inl.h"
#include "backend/cpu/float_product-inl.h"

namespace sluice::cpu::avx512 {

void float_product(const ProductCall& call) { run_float_product(call); }

}  // namespace sluice::cpu::avx512
