// Whether this process may multiply by tiles. For x86-64.
#pragma once

#include <cstdint>

#include "backend/cpu/product.h"

namespace sluice::cpu::amx {

// What decides, so that tests can be machines that they do not run on.
struct TileMachine {
  uint32_t leaf_seven_edx = 0;  // CPUID leaf 7, subleaf 0
  uint64_t enabled_state = 0;   // XCR0
  bool (*request)() = nullptr;  // asks the system for the tile registers; true: granted
  ProductFunction integer_product = nullptr, float_product = nullptr;
};

// True if the processor has AMX-TILE, AMX-INT8 and AMX-BF16, the system saves tiles and grants them
// to this process, and the products give the known results of the self-check. Warns where only the
// last or the last two fail. Nothing is called before what stands in front of it holds.
bool can_use_tiles(const TileMachine& machine);

// arch_prctl(ARCH_REQ_XCOMP_PERM) for the tile data: for the whole process, its threads to come
// included. False where the system is not Linux or refuses.
bool request_tiles();

}  // namespace sluice::cpu::amx
