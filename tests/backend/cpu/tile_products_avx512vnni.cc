#include "backend/cpu/avx512/lanes-inl.h"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "backend/cpu/float_product-inl.h"
#include "backend/cpu/integer_product-inl.h"
// After what they are written over.
#include "backend/cpu/amx/tile_twin-inl.h"
// clang-format off
#include "backend/cpu/amx/float_tile_product-inl.h"
#include "backend/cpu/amx/tile_codes-inl.h"
#include "backend/cpu/amx/tile_product-inl.h"
// clang-format on
#include "backend/cpu/tile_products.h"

namespace sluice::cpu::twin {

void integer_product_avx512vnni(const ProductCall& call) { run_tile_product(call); }
void float_product_avx512vnni(const ProductCall& call) { run_pair_product(call); }

}  // namespace sluice::cpu::twin
