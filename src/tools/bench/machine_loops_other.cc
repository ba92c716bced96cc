// Machines that have no loops of their own yet.
#include "tools/bench/machine_loops.h"

namespace sluice::tools {

const MachineLoops& machine_loops(std::string_view /*instruction_set*/) { return portable_loops(); }

}  // namespace sluice::tools
