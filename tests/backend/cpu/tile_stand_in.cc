// Stands in for the native tile kernels: a program that links this file takes these definitions
// before it looks into the library, and matmul() then ranks and runs the twin.
#include "backend/cpu/tile_products.h"

namespace sluice::cpu::amx {

void integer_product(const ProductCall& call) { twin::integer_product_avx512vnni(call); }
void float_product(const ProductCall& call) { twin::float_product_avx512vnni(call); }

}  // namespace sluice::cpu::amx
