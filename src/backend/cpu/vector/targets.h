// Which Highway targets the vector kernels are compiled for, and how a level of SLUICE_CPU picks
// among them.
//
// Include this before hwy/highway.h in every file that compiles itself once per target. The files
// get no wider compiler flags: Highway switches the target by pragma for its own region only, so no
// shared inline function is ever compiled for more than the baseline (style.md 3.4). Tables are
// picked by level, not through Highway's process-wide dispatch, so that one process can hold
// backends of several levels and compare them.
#pragma once

// The SSE targets and the VBMI level would add compile time and nothing that these kernels use;
// vectors of unknown length (SVE) would not fit the fixed blocks of 32 columns.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)

#include "backend/cpu/detect.h"
#include "hwy/detect_targets.h"

#if HWY_TARGETS & HWY_AVX3
#define SLUICE_PICK_AVX3_(set, table) \
  if ((set) >= InstructionSet::kAvx512) return N_AVX3::table();
#else
#define SLUICE_PICK_AVX3_(set, table)
#endif
#if HWY_TARGETS & HWY_AVX2
#define SLUICE_PICK_AVX2_(set, table) \
  if ((set) >= InstructionSet::kAvx2) return N_AVX2::table();
#else
#define SLUICE_PICK_AVX2_(set, table)
#endif

// The body of `const T& f(InstructionSet set)`: returns what the function `table` of the level's
// target returns. A level whose target is not built falls to the next lower one; "portable" is the
// baseline (one lane on x86 under GCC 12, NEON on Arm).
#define SLUICE_PICK_TARGET(set, table) \
  SLUICE_PICK_AVX3_(set, table)        \
  SLUICE_PICK_AVX2_(set, table)        \
  static_cast<void>(set);              \
  return HWY_STATIC_DISPATCH(table)();
