// The triangle that error-compensating rounding works with: H + damping = R R^T with R upper
// triangular, columns in the order in which they are rounded.
//
// GPTQ (quantization-algorithms.md 7.1) takes U, the Cholesky factor of the inverse, and spreads
// each column's error over those that follow. U is the inverse of R, and the same choices come out
// of R itself: column k is rounded to what makes column k of (W - Q) R smallest, given the columns
// before it. So nothing is inverted, the weights stay as they are, and the sum of squares of
// (W - Q) R is the output error.
#pragma once

#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "tools/quantize/input_products.h"

namespace sluice::quantize {

// Columns that stay neighbours in the order: a whole group of every format.
inline constexpr int64_t kOrderChunk = 32;

struct CompensationFactor {
  struct Block {
    int64_t first = 0, size = 0;  // columns
    // The column (from `first`) that is rounded k-th: chunks by descending mean of H's diagonal,
    // so that what weighs most is rounded while most others can still make up for it.
    std::vector<int32_t> order;
    std::vector<float> upper;  // R, size x size in that order; zeros below the diagonal
    double damping = 0;        // what was added to H's diagonal
  };
  int64_t columns = 0;
  std::vector<Block> blocks;
};

// Damping is a hundredth of the block's mean diagonal, more should H not be definite then. Columns
// that the text never excited keep the damping alone, so that they are rounded plainly. (The paper
// sets their weights to zero; a text that never excites a column does not prove that none will.)
// Takes the products' memory.
CompensationFactor factorize(InputProducts products, ThreadPool& pool);

}  // namespace sluice::quantize
