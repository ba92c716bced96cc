// Products by tiles whose results are known, for processors on which the tile code has never run.
#pragma once

#include "backend/cpu/product.h"

namespace sluice::cpu::amx {

// Multiplies small matrices whose results are exact integers, in two tiles of rows, and compares
// all bits: bytes and table codes in both activation modes, BF16 and E4M3 as prompt. It sees
// neither denormals nor the order of float sums: where hardware differs from the twin in those,
// rows still agree with each other.
bool passes_self_check(ProductFunction integer_product, ProductFunction float_product);

}  // namespace sluice::cpu::amx
