// Block scales of NVFP4 by search: for each block the E4M3 scale with the smallest (weighted)
// squared error, instead of the one that maps the largest weight to 6
// (quantization-algorithms.md 3.2, 3.3).
#pragma once

#include <array>
#include <cstddef>
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

// The scales that `search` tries for a group with this largest magnitude (not 0), the plain one
// first. `weighted`: the errors of its elements count differently.
struct ScaleCandidates {
  std::array<uint8_t, 32> codes{};
  size_t count = 0;
};
ScaleCandidates scale_candidates(float amax, float divisor, ScaleSearch search, bool weighted);

// What a group of zeros gets.
inline constexpr uint8_t kZeroGroupScale = 0x38;  // 1.0, as ModelOpt writes it

// The nearest magnitude of E2M1, ties to even: the value of codec::f32_to_e2m1's code, without
// branches or a table, so that loops over it become vector code.
inline float nearest_e2m1(float magnitude) {
  const auto step = [](bool above, float by) { return above ? by : 0.0f; };
  return step(magnitude > 0.25f, 0.5f) + step(magnitude >= 0.75f, 0.5f) +
         step(magnitude > 1.25f, 0.5f) + step(magnitude >= 1.75f, 0.5f) +
         step(magnitude > 2.5f, 1.0f) + step(magnitude >= 3.5f, 1.0f) +
         step(magnitude > 5.0f, 2.0f);
}

// One row: `scales` takes columns / group codes, `codes` columns / 2 bytes (low nibble first).
// `importance`: a non-negative weight per column, or empty.
void encode_nvfp4_row(std::span<const float> row, std::span<const float> importance, int64_t group,
                      float divisor, ScaleSearch search, uint8_t* scales, uint8_t* codes);

}  // namespace sluice::quantize
