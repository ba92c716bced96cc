// One weight, slab by slab on all cores: read, encode, hand on, and measure what was lost. Memory
// is two slabs, whatever the size of the weight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/threads.h"
#include "tools/convert/source.h"

namespace sluice::convert {

// Values of one slab, unless a single block of rows is larger.
inline constexpr int64_t kSlabValues = int64_t{8} << 20;

// Squared error and squared norm of what has been encoded so far. The sum does not depend on the
// number of threads.
struct ErrorSum {
  double squared_error = 0, squared_norm = 0;
  double relative() const;  // |Q(W) - W| / |W|; 0 for a zero matrix
};

using Sink = std::function<Status(std::span<const std::byte>)>;

// Calls `work(first, count, values)` on the pool for pieces of each slab; `grain` rows stay
// together. After each slab `finish(first, count)` runs on the calling thread. Piece borders do not
// depend on the number of threads. The first error of any piece ends the run.
Status for_each_slab(
    const RowSource& reader, ThreadPool& pool, int64_t grain,
    const std::function<Status(int64_t first, int64_t count, std::span<const float> values)>& work,
    const std::function<Status(int64_t first, int64_t count)>& finish);

// Rows as F32, F16, BF16 or a ggml block type, through `sink` in order. Refuses values that are not
// finite and scales or values beyond F16. `importance`: a value per column, or empty.
Status write_rows(const RowSource& reader, DType type, std::span<const float> importance,
                  ThreadPool& pool, const Sink& sink, ErrorSum& error);

// BF16 if it keeps all of the values, else F32.
DType smallest_float(std::span<const float> values);

// A weight read whole (vectors, and matrices that are small by their role).
std::vector<float> read_whole(const RowSource& reader);

}  // namespace sluice::convert
