// The tile unit's instructions (tile.h). Included by kernels of this folder after a lanes-inl.h,
// which defines SLUICE_INLINE. Not run on hardware yet: docs/performance.md.
#pragma once

#include "backend/cpu/amx/tile.h"

namespace sluice::cpu::amx {
namespace {

// The compiler never uses tiles itself, so they are not named as clobbers (GCC 12 knows no names
// for them). All statements are volatile, which keeps their order.
struct Tiles {
  SLUICE_INLINE void config(const TileConfig& config) {
    asm volatile("ldtilecfg %0" : : "m"(config) : "memory");
  }
  SLUICE_INLINE void release() { asm volatile("tilerelease" : : : "memory"); }

  template <int kTile>
  SLUICE_INLINE void zero() {
    static_assert(is_tile<kTile>());
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  template <int kTile>
  SLUICE_INLINE void load(const void* base, int64_t stride) {
    static_assert(is_tile<kTile>());
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(base), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  SLUICE_INLINE void store(void* base, int64_t stride) {
    static_assert(is_tile<kTile>());
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)"
                 :
                 : "r"(base), "r"(stride), "i"(kTile)
                 : "memory");
  }

// Operands in the assembler's order: B, A, C.
#define SLUICE_TILE_PRODUCT(name)                                                          \
  template <int kC, int kA, int kB>                                                        \
  SLUICE_INLINE void name() {                                                              \
    static_assert(are_operands<kC, kA, kB>());                                             \
    asm volatile("t" #name " %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB)); \
  }
  SLUICE_TILE_PRODUCT(dpbssd)
  SLUICE_TILE_PRODUCT(dpbsud)
  SLUICE_TILE_PRODUCT(dpbusd)
  SLUICE_TILE_PRODUCT(dpbuud)
  SLUICE_TILE_PRODUCT(dpbf16ps)
#undef SLUICE_TILE_PRODUCT
};

}  // namespace
}  // namespace sluice::cpu::amx
