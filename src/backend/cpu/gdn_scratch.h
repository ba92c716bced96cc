// The scratch memory that the delta rule needs per member of the team, cut out of one array.
#pragma once

#include <cstdint>
#include <utility>

#include "backend/cpu/recurrent_state.h"
#include "backend/cpu/vector/gdn_kernels.h"
#include "ops/batch.h"

namespace sluice::cpu {

struct GdnScratch {
  float* state_copy;      // [key_dim][32]: the state that unaccepted rows work on
  float* padded_state;    // [key_dim][32]: a narrow block
  float* mixing;          // [64, 64]
  float* attention;       // [64, 64]
  float* transposed;      // [2][key_dim][32]
  float* news;            // [64][32]
  float* padded_values;   // [64][32]
  float* padded_out;      // [64][32]
  float* padded_changes;  // [kMaxPendingRows][32]

  static constexpr int64_t kBlock = kMaxKeyDim * kStateColumns;
  static constexpr int64_t kSquare = ops::kGrid * ops::kGrid;
  static constexpr int64_t kRows = ops::kGrid * kStateColumns;
  static constexpr int64_t kFloats = 4 * kBlock + 2 * kSquare + 4 * kRows;
  static_assert(kMaxPendingRows <= ops::kGrid, "padded rows of a step");

  explicit GdnScratch(float* at)
      : state_copy(std::exchange(at, at + kBlock)),
        padded_state(std::exchange(at, at + kBlock)),
        mixing(std::exchange(at, at + kSquare)),
        attention(std::exchange(at, at + kSquare)),
        transposed(std::exchange(at, at + 2 * kBlock)),
        news(std::exchange(at, at + kRows)),
        padded_values(std::exchange(at, at + kRows)),
        padded_out(std::exchange(at, at + kRows)),
        padded_changes(at) {}
};

}  // namespace sluice::cpu
