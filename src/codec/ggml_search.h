// The searches for scales and codes behind ggml's block types (spec/quantization-algorithms.md
// section 6): what makes our blocks equal to those of ggml's own quantizer, bit for bit.
//
// All arithmetic is F32 in the order written, sums sequential in index order. The names of the
// results follow the spec: a block is approximated by scale * code + minimum.
//
// The two long searches take four blocks at a time, one per lane. Each lane does what the search of
// one block would, so neither the bits nor the order of its sums depend on the other three.
// Vectors along a block instead would need sums in another order, and other bits than ggml's.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "codec/lanes.h"
#include "codec/number_formats.h"

namespace sluice::codec {

// Below this magnitude a block counts as zero.
inline constexpr float kGroupEpsilon = 1e-15f;

inline constexpr size_t kMaxSearchBlock = 32;  // elements of the longest block searched

// Element i of four blocks of `width` elements, and what its error counts. Lanes that are not
// wanted are zero.
struct SearchBlocks {
  size_t width = 0;
  std::array<Lanes, kMaxSearchBlock> x, weights;

  // Takes `count` blocks that lie one behind the other; weights are left to the caller.
  void take(std::span<const float> blocks, size_t count);
  // Importance, as many blocks of it, times the root of `variance` plus the element's square.
  void weigh(std::span<const float> importance, size_t count, Lanes variance);
};

// The element of largest magnitude of each block, the first of equals, with its sign.
Lanes extremes(const SearchBlocks& blocks);

// 6.1, "AFF": scale and minimum for codes 0 .. most. Tries steps + 1 ranges around the plain one.
struct AffineSearch {
  int most;           // largest code
  float first, step;  // the range tried at step k is widened by first + step * k codes
  int steps;
  bool absolute_error;  // judge by weighted |error| instead of its square
  bool equal_only;      // without importance: no range only when M = m, not already when M < m
};
struct AffineFits {
  Lanes scale, minimum;  // the minimum as stored: what is subtracted, so >= 0
};
// Writes the codes of four blocks, one behind the other.
AffineFits affine_search(const AffineSearch& search, const SearchBlocks& blocks, uint8_t* codes);

// 6.4, "SYM": a scale of either sign for codes -most .. most - 1, stored with `most` added. A zero
// block gives scale 0 and stored codes 0.
Lanes symmetric_search(const SearchBlocks& blocks, int most, uint8_t* codes);

// The same for one block of Q3_K without importance: one plain guess, then single codes are
// improved while that helps.
float symmetric_descent(std::span<const float> x, int most, int8_t* codes);

// 6.2, "QP": a positive scale for values that are not negative, codes 0 .. most.
float positive_search(std::span<const float> x, std::span<const float> weights, int most,
                      uint8_t* codes);

}  // namespace sluice::codec
