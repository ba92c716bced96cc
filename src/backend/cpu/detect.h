// Which instruction sets this process may use: CPUID, the system's leave, and SLUICE_CPU; decided
// once.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"

namespace sluice::cpu {

// In ascending order of preference. "portable" builds everywhere (Highway's baseline, Arm
// included).
enum class InstructionSet { kPortable, kAvx2, kAvxVnni, kAvx512, kAvx512Vnni, kAmx };

std::string_view instruction_set_name(InstructionSet set);

// All that this machine (and its system, for AMX) can execute, ascending; never empty. AMX is not
// even tried while SLUICE_CPU forces another set.
std::span<const InstructionSet> supported_instruction_sets();

// The best supported one, or what SLUICE_CPU says; unknown or unsupported there is an error that
// lists the supported.
Result<InstructionSet> choose_instruction_set();

}  // namespace sluice::cpu
