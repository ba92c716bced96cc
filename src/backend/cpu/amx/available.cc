#include "backend/cpu/amx/available.h"

#include "backend/cpu/amx/self_check.h"
#include "base/log.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sluice::cpu::amx {

bool can_use_tiles(const TileMachine& machine) {
  constexpr uint32_t kInstructions =
      1u << 22 /* BF16 */ | 1u << 24 /* TILE */ | 1u << 25 /* INT8 */;
  constexpr uint64_t kState = uint64_t{1} << 17 /* configuration */ | uint64_t{1} << 18 /* data */;
  if ((machine.leaf_seven_edx & kInstructions) != kInstructions) return false;
  if ((machine.enabled_state & kState) != kState) return false;
  if (!machine.request()) {
    log_warning(
        "the processor has AMX, but the system did not grant its tile registers to this "
        "process: running without them");
    return false;
  }
  if (!passes_self_check(machine.integer_product, machine.float_product)) {
    log_warning(
        "the processor has AMX, but sluice's products by tiles gave wrong results in the "
        "self-check: running without them. Please report this processor");
    return false;
  }
  return true;
}

bool request_tiles() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  // ARCH_REQ_XCOMP_PERM and the number of the tile data's state, as in the kernel's
  // Documentation/arch/x86/xstate.rst; older C libraries do not name them.
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace sluice::cpu::amx
