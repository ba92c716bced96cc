// Needs AVX-512 F, BW, VL, DQ; the tile instructions are assembly.
#include "backend/cpu/avx512/lanes-inl.h"
// Of the product over lanes only the scales and the end are used here.
#pragma GCC diagnostic ignored "-Wunused-function"
#include "backend/cpu/float_product-inl.h"
// After what it is written over.
#include "backend/cpu/amx/tile_native-inl.h"
// clang-format off
#include "backend/cpu/amx/float_tile_product-inl.h"
// clang-format on

namespace sluice::cpu::amx {

void float_product(const ProductCall& call) { run_pair_product(call); }

}  // namespace sluice::cpu::amx
