// The kernels of src/backend/cpu/amx over the portable body of the tile unit.
#pragma once

#include "backend/cpu/product.h"

namespace sluice::cpu::twin {

void integer_product_portable(const ProductCall& call);
void float_product_portable(const ProductCall& call);

// The source of the native kernels but for the tiles; for machines with AVX-512 VNNI.
void integer_product_avx512vnni(const ProductCall& call);
void float_product_avx512vnni(const ProductCall& call);

}  // namespace sluice::cpu::twin
