// Needs AVX-512 F, BW, VL, DQ, VNNI; the tile instructions are assembly.
#include "backend/cpu/avx512/lanes-inl.h"
// Of the product over lanes only decoding and the end are used here.
#pragma GCC diagnostic ignored "-Wunused-function"
#include "backend/cpu/integer_product-inl.h"
// After what they are written over.
#include "backend/cpu/amx/tile_native-inl.h"
// clang-format off
#include "backend/cpu/amx/tile_codes-inl.h"
#include "backend/cpu/amx/tile_product-inl.h"
// clang-format on

namespace sluice::cpu::amx {

void integer_product(const ProductCall& call) { run_tile_product(call); }

}  // namespace sluice::cpu::amx
