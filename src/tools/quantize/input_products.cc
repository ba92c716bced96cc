#include "tools/quantize/input_products.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "base/check.h"
#include "tools/quantize/tile_products.h"

namespace sluice::quantize {
namespace {

constexpr int64_t kTile = 128;

int64_t block_size(int64_t columns, int64_t most) {
  const int64_t count = (columns + most - 1) / most;
  const int64_t even = (columns + count - 1) / count;
  return (even + kTile - 1) / kTile * kTile;
}

}  // namespace

InputProducts::InputProducts(int64_t columns, int64_t most) : columns_(columns) {
  SLUICE_CHECK(columns > 0 && most > 0, "{} columns in blocks of {}", columns, most);
  const int64_t step = block_size(columns, most);
  for (int64_t first = 0; first < columns; first += step) {
    const int64_t size = std::min(step, columns - first);
    blocks_.push_back({first, size, std::vector<float>(static_cast<size_t>(size * size))});
  }
}

uint64_t InputProducts::bytes(int64_t columns, int64_t most) {
  const int64_t step = block_size(columns, most);
  uint64_t total = 0;
  for (int64_t first = 0; first < columns; first += step) {
    const auto size = static_cast<uint64_t>(std::min(step, columns - first));
    total += size * size * sizeof(float);
  }
  return total;
}

uint64_t InputProducts::work_bytes(int64_t columns, int64_t most) {
  const auto size = static_cast<uint64_t>(std::min(columns, block_size(columns, most)));
  return size * size * sizeof(double);
}

void InputProducts::add(std::span<const float> rows, ThreadPool& pool) {
  const auto count = static_cast<int64_t>(rows.size()) / columns_;
  SLUICE_CHECK(count * columns_ == static_cast<int64_t>(rows.size()), "{} values, rows of {}",
               rows.size(), columns_);
  rows_ += static_cast<uint64_t>(count);
  for (Block& block : blocks_) {
    const int64_t across = (block.size + kTile - 1) / kTile;
    std::vector<std::pair<int64_t, int64_t>> tiles;
    for (int64_t i = 0; i < across; ++i) {
      for (int64_t j = i; j < across; ++j) tiles.emplace_back(i * kTile, j * kTile);
    }
    pool.for_range(static_cast<int64_t>(tiles.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const auto [i, j] = tiles[static_cast<size_t>(t)];
        add_products(count, rows.data() + block.first + i, columns_, rows.data() + block.first + j,
                     columns_, std::min(kTile, block.size - i), std::min(kTile, block.size - j),
                     block.values.data() + i * block.size + j, block.size);
      }
    });
  }
}

bool InputProducts::finite() const {
  for (const Block& block : blocks_) {
    for (int64_t i = 0; i < block.size; ++i) {
      if (!std::isfinite(block.values[static_cast<size_t>(i * block.size + i)])) return false;
    }
  }
  return true;
}

}  // namespace sluice::quantize
