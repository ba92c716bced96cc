// Block scales of NVFP4 by search: for each block the E4M3 scale with the smallest (weighted)
// squared error, instead of the one that maps the largest weight to 6
// (quantization-algorithms.md 3.2, 3.3).
#pragma once

#include <cstdint>
#include <span>

#include "tensor/matrix.h"

namespace sluice::quantize {

enum class ScaleSearch : uint8_t {
  kNone,         // largest magnitude to 6
  kFourOverSix,  // to 6 or to 4
  kSweep,        // every scale that can be the best
};

// The tensor scale as a divisor G, a power of two: 1/G is then exact, and the compressed-tensors,
// ModelOpt and GGUF forms of a build decode to the same bits. Half a binade to a whole one below
// the format's limit stays free, which the search needs above the plain scale of the largest block.
// `amax` is that of the tensor or of the fused group. For W4A8 block scales stay below 448/6.
float power_of_two_divisor(float amax, bool w4a8);

// One row: `scales` takes columns / group codes, `codes` columns / 2 bytes (low nibble first).
// `importance`: a non-negative weight per column, or empty.
void encode_nvfp4_row(std::span<const float> row, std::span<const float> importance, int64_t group,
                      float divisor, ScaleSearch search, uint8_t* scales, uint8_t* codes);

}  // namespace sluice::quantize
