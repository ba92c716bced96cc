// The pass that fills a packed matrix from its source.
#pragma once

#include <cstdint>

#include "backend/cpu/detect.h"
#include "backend/cpu/pack/row_unit.h"
#include "base/threads.h"
#include "tensor/matrix.h"

namespace sluice::cpu {

// The plan of any format, with the unit laid out.
PackPlan plan_for(const EncodedMatrix& source);

// Where a packed matrix goes: zeros so far. Borrows.
struct PackedArrays {
  int64_t groups = 0, units_per_group = 0;
  uint8_t* units = nullptr;     // [groups][units_per_group][bytes of a unit], on a line of 64 bytes
  float* row_scales = nullptr;  // [groups][16]
  float* tile_scales = nullptr;  // Fp8Block: [groups][units_per_group]; else null
};

// Streams once through the source. Members of the pool fill the groups they will later multiply, so
// that memory lies where it is used, and it is they who touch it first. The bytes do not depend on
// the set.
void pack(const EncodedMatrix& source, const PackPlan& plan, const PackedArrays& to,
          InstructionSet set, ThreadPool& pool);

}  // namespace sluice::cpu
