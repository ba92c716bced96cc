// Needs AVX-512 F, BW, VL, DQ, VNNI.
#include "backend/cpu/avx512/lanes-inl.h"
#include "backend/cpu/integer_product-inl.h"

namespace sluice::cpu::avx512vnni {

void integer_product(const ProductCall& call) { run_integer_product(call); }

}  // namespace sluice::cpu::avx512vnni
