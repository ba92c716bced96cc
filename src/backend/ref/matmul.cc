// out = x W^T, each element one sum over K in double, ascending.
#include <algorithm>
#include <vector>

#include "backend/ref/matrix.h"
#include "backend/ref/ref_backend.h"
#include "base/check.h"

namespace sluice::ref {
namespace {

// Rows that are summed side by side: independent chains, so the same bits as one at a time.
constexpr int64_t kRowBlock = 8;

// x as double, per block of rows [columns, kRowBlock]; rows beyond the last are zero.
std::vector<double> interleave(const RowsOf& x) {
  const int64_t blocks = (x.rows + kRowBlock - 1) / kRowBlock;
  std::vector<double> values(static_cast<size_t>(blocks * x.columns * kRowBlock));
  for (int64_t r = 0; r < x.rows; ++r) {
    double* block = values.data() + (r / kRowBlock) * x.columns * kRowBlock;
    for (int64_t k = 0; k < x.columns; ++k) block[k * kRowBlock + r % kRowBlock] = x.at(r, k);
  }
  return values;
}

// One output feature for all rows.
void multiply(const std::vector<double>& x, const float* weight, int64_t columns, int64_t feature,
              const RowsOf& out) {
  for (int64_t first = 0; first < out.rows; first += kRowBlock) {
    const double* block = x.data() + first * columns;
    double sums[kRowBlock] = {};
    for (int64_t k = 0; k < columns; ++k) {
      const double w = weight[k];
      for (int64_t r = 0; r < kRowBlock; ++r) sums[r] += w * block[k * kRowBlock + r];
    }
    const int64_t end = std::min(first + kRowBlock, out.rows);
    for (int64_t r = first; r < end; ++r) {
      out.at(r, feature) = static_cast<float>(sums[r - first]);
    }
  }
}

}  // namespace

void RefBackend::do_matmul(const ops::MatmulArgs& args) {
  const std::vector<double> x = interleave(rows_of(args.x));
  for (const ops::Product& product : args.products) {
    const auto* weight = dynamic_cast<const ProductMatrix*>(product.weight);
    SLUICE_CHECK(weight != nullptr, "the weight was not loaded for products by this backend");
    const RowsOf out = rows_of(product.out);
    const ops::Range part = product.part.empty() ? ops::Range{0, weight->rows()} : product.part;
    pool_.for_range(part.count(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t n = part.first + begin; n < part.first + end; ++n) {
        multiply(x, weight->row(n), weight->columns(), n, out);
      }
    });
  }
}

}  // namespace sluice::ref
