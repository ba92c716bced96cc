// X^T X of what one matrix multiplies, gathered over a calibration text: the Hessian of its output
// error (quantization-algorithms.md 7.1, 8).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"

namespace sluice::quantize {

// Squares of at most this many columns are kept along the diagonal. The whole square of 17408
// columns would be 1.2 GB, its factor in the making 2.4 GB more, and both times grow with its third
// power; docs/decisions/error-compensation.md has what the cut costs.
inline constexpr int64_t kMostProductColumns = 8192;

class InputProducts {
 public:
  struct Block {
    int64_t first = 0, size = 0;  // columns
    std::vector<float> values;    // size x size; the upper triangle counts
  };

  // Nothing seen yet. Blocks are of equal size but for their rounding up to 128 columns.
  explicit InputProducts(int64_t columns, int64_t most = kMostProductColumns);

  // Bytes of the values.
  static uint64_t bytes(int64_t columns, int64_t most = kMostProductColumns);
  // Bytes that factoring its largest block takes beside them.
  static uint64_t work_bytes(int64_t columns, int64_t most = kMostProductColumns);

  // Adds rows of `columns` values. Sums are in F32, in an order that the number of threads does not
  // change.
  void add(std::span<const float> rows, ThreadPool& pool);

  int64_t columns() const { return columns_; }
  uint64_t rows() const { return rows_; }
  bool finite() const;
  std::vector<Block>& blocks() { return blocks_; }
  const std::vector<Block>& blocks() const { return blocks_; }

 private:
  int64_t columns_ = 0;
  uint64_t rows_ = 0;
  std::vector<Block> blocks_;
};

}  // namespace sluice::quantize
