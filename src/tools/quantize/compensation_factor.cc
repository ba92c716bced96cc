#include "tools/quantize/compensation_factor.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "tools/quantize/tile_products.h"

namespace sluice::quantize {
namespace {

constexpr double kDamping = 0.01;
constexpr int64_t kPanel = 64;
constexpr int64_t kTile = 128;

// A square of doubles, of which the upper triangle counts.
struct Square {
  int64_t size;
  std::vector<double> values;
  double* row(int64_t i) { return values.data() + i * size; }
};

bool factor_diagonal(Square& m, int64_t first, int64_t end, double least_pivot) {
  for (int64_t k = first; k < end; ++k) {
    double* pivot_row = m.row(k);
    if (!(pivot_row[k] >= least_pivot)) return false;
    const double root = std::sqrt(pivot_row[k]);
    for (int64_t j = k; j < end; ++j) pivot_row[j] /= root;
    for (int64_t i = k + 1; i < end; ++i) {
      for (int64_t j = i; j < end; ++j) m.row(i)[j] -= pivot_row[i] * pivot_row[j];
    }
  }
  return true;
}

// The rows of a panel right of its diagonal block, these columns of them.
void solve_panel(Square& m, int64_t first, int64_t end, int64_t begin_column, int64_t end_column) {
  for (int64_t k = first; k < end; ++k) {
    double* row = m.row(k);
    for (int64_t i = first; i < k; ++i) {
      const double* above = m.row(i);
      const double factor = above[k];
      for (int64_t j = begin_column; j < end_column; ++j) row[j] -= factor * above[j];
    }
    for (int64_t j = begin_column; j < end_column; ++j) row[j] /= row[k];
  }
}

// m = U^T U, U in its upper triangle. False if a pivot is below what the damping alone leaves.
bool cholesky(Square& m, double least_pivot, ThreadPool& pool) {
  for (int64_t first = 0; first < m.size; first += kPanel) {
    const int64_t end = std::min(first + kPanel, m.size), rest = m.size - end;
    if (!factor_diagonal(m, first, end, least_pivot)) return false;
    if (rest == 0) break;
    pool.for_range(rest, kTile, [&](int64_t a, int64_t b) {
      for (int64_t at = a; at < b; at += kTile)  // in pieces that stay in the cache
        solve_panel(m, first, end, end + at, end + std::min(b, at + kTile));
    });
    const int64_t across = (rest + kTile - 1) / kTile;
    std::vector<std::pair<int64_t, int64_t>> tiles;
    for (int64_t i = 0; i < across; ++i) {
      for (int64_t j = i; j < across; ++j) tiles.emplace_back(end + i * kTile, end + j * kTile);
    }
    pool.for_range(static_cast<int64_t>(tiles.size()), 1, [&](int64_t a, int64_t b) {
      for (int64_t t = a; t < b; ++t) {
        const auto [i, j] = tiles[static_cast<size_t>(t)];
        subtract_products(end - first, m.row(first) + i, m.size, m.row(first) + j, m.size,
                          std::min(kTile, m.size - i), std::min(kTile, m.size - j), m.row(i) + j,
                          m.size);
      }
    });
  }
  return true;
}

std::vector<int32_t> rounding_order(const InputProducts::Block& block) {
  struct Chunk {
    int64_t first, size;
    double weight;
  };
  std::vector<Chunk> chunks;
  for (int64_t first = 0; first < block.size; first += kOrderChunk) {
    const int64_t size = std::min(kOrderChunk, block.size - first);
    double sum = 0;
    for (int64_t i = first; i < first + size; ++i)
      sum += static_cast<double>(block.values[static_cast<size_t>(i * block.size + i)]);
    chunks.push_back({first, size, sum / static_cast<double>(size)});
  }
  std::stable_sort(chunks.begin(), chunks.end(),
                   [](const Chunk& a, const Chunk& b) { return a.weight > b.weight; });
  std::vector<int32_t> order;
  for (const Chunk& chunk : chunks) {
    for (int64_t i = 0; i < chunk.size; ++i) order.push_back(static_cast<int32_t>(chunk.first + i));
  }
  return order;
}

// H in that order, turned by half a turn and damped: its ordinary factor, turned back, is R.
void fill_turned(const InputProducts::Block& block, const std::vector<int32_t>& order,
                 double damping, Square& out) {
  const int64_t n = block.size;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t a = order[static_cast<size_t>(n - 1 - i)];
    for (int64_t j = i; j < n; ++j) {
      const int64_t b = order[static_cast<size_t>(n - 1 - j)];
      out.row(i)[j] = static_cast<double>(
          block.values[static_cast<size_t>(std::min(a, b) * n + std::max(a, b))]);
    }
    out.row(i)[i] += damping;
  }
}

double mean_diagonal(const InputProducts::Block& block) {
  double sum = 0;
  for (int64_t i = 0; i < block.size; ++i)
    sum += static_cast<double>(block.values[static_cast<size_t>(i * block.size + i)]);
  return sum / static_cast<double>(block.size);
}

CompensationFactor::Block factorize_block(InputProducts::Block block, ThreadPool& pool) {
  const int64_t n = block.size;
  const double mean = mean_diagonal(block);
  SLUICE_CHECK(std::isfinite(mean), "the products of {} columns are not finite", n);
  CompensationFactor::Block out{block.first, n, rounding_order(block), {}, 0};
  out.damping = mean > 0 ? kDamping * mean : 1.0;
  Square work{n, std::vector<double>(static_cast<size_t>(n * n))};
  fill_turned(block, out.order, out.damping, work);
  while (!cholesky(work, out.damping / 2, pool)) {
    out.damping *= 10;  // ends: a diagonal that outweighs its row is definite
    fill_turned(block, out.order, out.damping, work);
  }
  out.upper = std::move(block.values);
  for (int64_t i = 0; i < n; ++i) {
    float* row = out.upper.data() + i * n;
    std::fill(row, row + i, 0.0f);
    for (int64_t j = i; j < n; ++j) row[j] = static_cast<float>(work.row(n - 1 - j)[n - 1 - i]);
  }
  return out;
}

}  // namespace

CompensationFactor factorize(InputProducts products, ThreadPool& pool) {
  CompensationFactor factor;
  factor.columns = products.columns();
  for (InputProducts::Block& block : products.blocks())
    factor.blocks.push_back(factorize_block(std::move(block), pool));
  return factor;
}

}  // namespace sluice::quantize
