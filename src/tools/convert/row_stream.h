// One weight, piece by piece on all cores: read, encode, hand on, and measure what was lost. Memory
// is a piece of values for each thread and the writer's buffers, whatever the size of the weight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/threads.h"
#include "tools/convert/error_sum.h"
#include "tools/convert/read_ahead.h"
#include "tools/convert/source.h"
#include "tools/convert/write_behind.h"

namespace sluice::convert {

// Where encoded rows go. `ahead`, if there is one, is told what has been read.
struct Output {
  WriteBehind* behind;
  Sink sink;  // called on the thread of `behind`
  ReadAhead* ahead = nullptr;
};

// Buffers for a build of which a pool of so many threads makes the pieces: enough that neither
// waits for the other's single steps.
size_t buffers_for(const ThreadPool& pool);

// Calls `work(first, count, values)` on the pool for pieces of the weight; `grain` rows stay
// together. Piece borders do not depend on the number of threads. The first error by place ends the
// run.
Status for_each_piece(
    const RowSource& reader, ThreadPool& pool, int64_t grain,
    const std::function<Status(int64_t first, int64_t count, std::span<const float> values)>& work);

// The same for pieces that have `row_bytes` of output a row: `out` gets those of all rows in order.
// They need not be written when this returns; an error of the writer may show in a later call.
Status write_pieces(
    const RowSource& reader, ThreadPool& pool, int64_t grain, size_t row_bytes, const Output& out,
    const std::function<Status(int64_t first, int64_t count, std::span<const float> values,
                               std::span<std::byte> bytes)>& work);

// Rows as F32, F16, BF16 or a ggml block type, in order. Refuses values that are not finite and
// scales or values beyond F16. `importance`: a value per column, or empty. `error` is that of the
// whole weight when this returns.
Status write_rows(const RowSource& reader, DType type, std::span<const float> importance,
                  ThreadPool& pool, const Output& out, ErrorSum& error);

// Bytes as they are, by reference: they must live until the writer is drained.
Status write_bytes(std::span<const std::byte> bytes, const Output& out);
// The same by copy.
Status write_copy(std::span<const std::byte> bytes, const Output& out);

// BF16 if it keeps all of the values, else F32.
DType smallest_float(std::span<const float> values);

// A weight read whole (vectors, and matrices that are small by their role).
std::vector<float> read_whole(const RowSource& reader);

}  // namespace sluice::convert
