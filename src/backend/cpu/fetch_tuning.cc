#include "backend/cpu/fetch_tuning.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "backend/cpu/matmul.h"
#include "base/memory.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace sluice::cpu {
namespace {

using Clock = std::chrono::steady_clock;

// A run reads so much: long against waking the team, and what it read before the last run of the
// same bytes has left the caches.
constexpr size_t kRunBytes = size_t{16} << 20;
constexpr double kBudget = 0.15;  // seconds a choice
constexpr int64_t kTileRows = 4;  // of a step that checks three drafts

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

size_t unit_bytes(const PackedMatrix& matrix) {
  const PackedView& view = matrix.view();
  return static_cast<size_t>(view.groups * view.units_per_group) * view.unit.bytes;
}

size_t total_bytes(std::span<const PackedMatrix* const> matrices) {
  size_t bytes = 0;
  for (const PackedMatrix* matrix : matrices) bytes += unit_bytes(*matrix);
  return bytes;
}

// Products of some rows with matrices of one kind, a run after the other through all their bytes.
class ProductRuns {
 public:
  ProductRuns(std::span<const PackedMatrix* const> matrices, int64_t batch, ThreadPool& pool)
      : matrices_(matrices), batch_(batch), pool_(pool) {
    int64_t rows = 0, columns = 0;
    for (const PackedMatrix* matrix : matrices) {
      rows = std::max(rows, matrix->rows());
      columns = std::max(columns, matrix->columns());
    }
    input_.assign(static_cast<size_t>(batch * columns), 1.0f);
    output_.resize(static_cast<size_t>(batch * rows));
    scratch_.resize(matmul_scratch_bytes(batch, columns));
  }

  double seconds(const FetchDistance& distance) {
    const FetchDistances distances = FetchDistances::all(distance);
    const Clock::time_point start = Clock::now();
    for (size_t read = 0; read < kRunBytes;) {
      const PackedMatrix& matrix = *matrices_[matrix_];
      const auto row_bytes = static_cast<int64_t>(unit_bytes(matrix)) / matrix.rows() + 1;
      const auto rows =
          static_cast<int64_t>(kRunBytes - read) / row_bytes / ops::kGrid * ops::kGrid;
      const int64_t end = std::min(matrix.rows(), row_ + std::max(rows, int64_t{ops::kGrid}));
      const DenseProduct products[] = {{&matrix, output_.data(), matrix.rows(), {row_, end}}};
      matmul(input_.data(), batch_, matrix.columns(), matrix.columns(), batch_, products, scratch_,
             pool_, distances);
      read += static_cast<size_t>((end - row_) * row_bytes);
      row_ = end;
      if (row_ == matrix.rows()) {
        row_ = 0;
        matrix_ = (matrix_ + 1) % matrices_.size();
      }
    }
    return seconds_since(start);
  }

 private:
  std::span<const PackedMatrix* const> matrices_;
  const int64_t batch_;
  ThreadPool& pool_;
  std::vector<float> input_, output_;
  std::vector<std::byte> scratch_;
  size_t matrix_ = 0;
  int64_t row_ = 0;
};

// While one lives, denormal numbers are zeros for this thread: weights read as bf16 have many, and
// some machines need a hundred cycles for each.
class WithoutDenormals {
 public:
#if defined(__x86_64__)
  WithoutDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~WithoutDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  WithoutDenormals() {}
  ~WithoutDenormals() {}
#endif
};

// Attention of four query heads of 256 with pages of bf16, four kv heads taking turns as in a
// cache.
class AttentionRuns {
 public:
  AttentionRuns(std::span<const PackedMatrix* const> matrices, const AttentionKernels& kernels,
                ThreadPool& pool)
      : kernels_(kernels), pool_(pool) {
    for (const PackedMatrix* matrix : matrices) {
      const size_t count = unit_bytes(*matrix) / kPageBytes / kTurns * kTurns;
      for (size_t turn = 0; turn < kTurns; ++turn) {
        for (size_t page = turn; page < count; page += kTurns) {
          pages_.push_back(reinterpret_cast<const std::byte*>(matrix->view().units) +
                           page * kPageBytes);
        }
      }
    }
  }

  size_t bytes() const { return pages_.size() * kPageBytes; }

  double seconds(const FetchDistance& distance) {
    constexpr auto kPages = static_cast<int64_t>(kRunBytes / kPageBytes);
    const Clock::time_point start = Clock::now();
    pool_.for_range(kPages, 1, [&](int64_t begin, int64_t end) {
      const WithoutDenormals quick;
      const std::vector<float> queries(kHeads * kDim, 0.0f);
      std::vector<float> out(kHeads * kDim, 0.0f);
      std::array<SoftmaxState, kHeads> states = {};
      for (int64_t i = begin; i < end; ++i) {
        const std::byte* const page = page_at(i);
        const auto behind = reinterpret_cast<uintptr_t>(page) + kPageBytes;
        const PageView view = {page,
                               page + kPageBytes / 2,
                               ops::KvFormat::kBF16,
                               kDim,
                               1.0f,
                               distance,
                               {behind, reinterpret_cast<uintptr_t>(page_at(i + 1)) - behind}};
        kernels_.attend_page(view, queries.data(), kHeads, 0, ops::kGrid, states.data(),
                             out.data());
      }
    });
    next_ += kPages;
    return seconds_since(start);
  }

 private:
  const std::byte* page_at(int64_t turn) const {
    return pages_[(next_ + static_cast<size_t>(turn)) % pages_.size()];
  }

  static constexpr size_t kHeads = 4, kDim = 256, kTurns = 4;
  static constexpr size_t kPageBytes = 2 * kDim * ops::kGrid * sizeof(uint16_t);

  const AttentionKernels& kernels_;
  ThreadPool& pool_;
  std::vector<const std::byte*> pages_;
  size_t next_ = 0;
};

}  // namespace

FetchDistances measure_fetch(std::span<const PackedMatrix* const> matrices, size_t least,
                             const AttentionKernels& attention, ThreadPool& pool) {
  FetchDistances distances;
  for (int kind = 0; kind < kCodeKinds; ++kind) {
    std::vector<const PackedMatrix*> of_kind;
    for (const PackedMatrix* matrix : matrices) {
      if (matrix->view().unit.codes == static_cast<CodeKind>(kind)) of_kind.push_back(matrix);
    }
    if (total_bytes(of_kind) < least) continue;
    for (const int64_t rows : {int64_t{1}, kTileRows}) {
      ProductRuns runs(of_kind, rows, pool);
      distances.of(static_cast<CodeKind>(kind), rows) =
          choose_fetch(fetch_candidates(), kBudget,
                       [&](const FetchDistance& distance) { return runs.seconds(distance); });
    }
  }
  AttentionRuns runs(matrices, attention, pool);
  if (runs.bytes() < least) return distances;
  distances.attention =
      choose_fetch(fetch_candidates(), kBudget,
                   [&](const FetchDistance& distance) { return runs.seconds(distance); });
  return distances;
}

size_t least_measured_bytes() { return std::max(2 * last_level_cache(), uint64_t{64} << 20); }

}  // namespace sluice::cpu
