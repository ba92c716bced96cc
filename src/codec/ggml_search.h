// The searches for scales and codes behind ggml's block types (spec/quantization-algorithms.md
// section 6): what makes our blocks equal to those of ggml's own quantizer, bit for bit.
//
// All arithmetic is F32 in the order written, sums sequential in index order. The names of the
// results follow the spec: a block is approximated by scale * code + minimum.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "codec/number_formats.h"

namespace sluice::codec {

// Below this magnitude a block counts as zero.
inline constexpr float kGroupEpsilon = 1e-15f;

// 6.1, "AFF": scale and minimum for codes 0 .. most. Tries steps + 1 ranges around the plain one.
struct AffineSearch {
  int most;           // largest code
  float first, step;  // the range tried at step k is widened by first + step * k codes
  int steps;
  bool absolute_error;  // judge by weighted |error| instead of its square
  bool equal_only;      // without importance: no range only when M = m, not already when M < m
};
struct AffineFit {
  float scale = 0;
  float minimum = 0;  // as stored: what is subtracted, so >= 0
};
AffineFit affine_search(const AffineSearch& search, std::span<const float> x,
                        std::span<const float> weights, uint8_t* codes);

// 6.4, "SYM": a scale of either sign for codes -most .. most - 1, stored with `most` added. A zero
// block gives scale 0 and stored codes 0.
float symmetric_search(std::span<const float> x, std::span<const float> weights, int most,
                       int8_t* codes);

// The same for Q3_K without importance: one plain guess, then single codes are improved while that
// helps.
float symmetric_descent(std::span<const float> x, int most, int8_t* codes);

// 6.2, "QP": a positive scale for values that are not negative, codes 0 .. most.
float positive_search(std::span<const float> x, std::span<const float> weights, int most,
                      uint8_t* codes);

}  // namespace sluice::codec
