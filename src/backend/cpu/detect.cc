#include "backend/cpu/detect.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/switches.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include "backend/cpu/amx/available.h"
#endif

namespace sluice::cpu {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"portable", "avx2",       "avxvnni",
                                                    "avx512",   "avx512vnni", "amx"};

#if defined(__x86_64__)

struct Leaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  static bool bit(unsigned word, int position) { return (word >> position & 1u) != 0; }
};

Leaf read_leaf(unsigned leaf, unsigned subleaf) {
  Leaf out;
  if (__get_cpuid_count(leaf, subleaf, &out.eax, &out.ebx, &out.ecx, &out.edx) == 0) return {};
  return out;
}

// What the operating system saves on a context switch (XCR0). In assembly because the intrinsic
// needs -mxsave, and this file is compiled for the baseline.
uint64_t enabled_state() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

std::vector<InstructionSet> detect() {
  std::vector<InstructionSet> sets = {InstructionSet::kPortable};
  const Leaf basic = read_leaf(1, 0);
  const bool has_xgetbv = Leaf::bit(basic.ecx, 27);  // OSXSAVE: the system uses XSAVE at all
  if (!has_xgetbv) return sets;
  const uint64_t state = enabled_state();
  constexpr uint64_t kYmm = 0x6, kZmm = 0xe6;
  if ((state & kYmm) != kYmm) return sets;
  const Leaf seven = read_leaf(7, 0);
  const Leaf seven_one = seven.eax >= 1 ? read_leaf(7, 1) : Leaf{};
  const bool avx2 = Leaf::bit(basic.ecx, 28) && Leaf::bit(basic.ecx, 12) /* FMA */ &&
                    Leaf::bit(basic.ecx, 29) /* F16C */ && Leaf::bit(seven.ebx, 5);
  if (!avx2) return sets;
  sets.push_back(InstructionSet::kAvx2);
  if (Leaf::bit(seven_one.eax, 4)) sets.push_back(InstructionSet::kAvxVnni);
  const bool avx512 = (state & kZmm) == kZmm && Leaf::bit(seven.ebx, 16) /* F */ &&
                      Leaf::bit(seven.ebx, 17) /* DQ */ && Leaf::bit(seven.ebx, 30) /* BW */ &&
                      Leaf::bit(seven.ebx, 31) /* VL */;
  if (!avx512) return sets;
  sets.push_back(InstructionSet::kAvx512);
  if (Leaf::bit(seven.ecx, 11) /* VNNI */) {
    sets.push_back(InstructionSet::kAvx512Vnni);
    // Forcing another set is also the way round a tile unit that would end the process.
    const std::optional<std::string> forced = environment("SLUICE_CPU");
    const bool wanted = !forced || *forced == instruction_set_name(InstructionSet::kAmx);
    if (wanted && amx::can_use_tiles({seven.edx, state, amx::request_tiles, amx::integer_product,
                                      amx::float_product})) {
      sets.push_back(InstructionSet::kAmx);
    }
  }
  return sets;
}

#else

std::vector<InstructionSet> detect() { return {InstructionSet::kPortable}; }

#endif

std::string list_supported() {
  std::string text;
  for (const InstructionSet set : supported_instruction_sets()) {
    if (!text.empty()) text += ", ";
    text += instruction_set_name(set);
  }
  return text;
}

}  // namespace

std::string_view instruction_set_name(InstructionSet set) {
  return kNames[static_cast<size_t>(set)];
}

std::span<const InstructionSet> supported_instruction_sets() {
  static const std::vector<InstructionSet> sets = detect();
  return sets;
}

Result<InstructionSet> choose_instruction_set() {
  const std::span<const InstructionSet> supported = supported_instruction_sets();
  const std::optional<std::string> forced = environment("SLUICE_CPU");
  if (!forced) return supported.back();
  const auto name = std::find(kNames.begin(), kNames.end(), *forced);
  const std::string remedy = "This machine supports: " + list_supported();
  if (name == kNames.end()) {
    return usage_error("SLUICE_CPU", "unknown instruction set \"" + *forced + "\"", remedy);
  }
  const auto set = static_cast<InstructionSet>(name - kNames.begin());
  if (std::find(supported.begin(), supported.end(), set) == supported.end()) {
    return usage_error("SLUICE_CPU", "\"" + *forced + "\" is not supported here", remedy);
  }
  return set;
}

}  // namespace sluice::cpu
