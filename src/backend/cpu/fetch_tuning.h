// Measures on a model's own weights how far ahead this machine wants memory to be asked for.
#pragma once

#include <span>

#include "backend/cpu/fetch.h"
#include "backend/cpu/pack/packed_matrix.h"
#include "backend/cpu/vector/attention_kernels.h"
#include "base/threads.h"

namespace sluice::cpu {

// Products of one row and of four for each kind of codes, then attention, which reads the weights'
// memory as if it were pages. A kind with fewer bytes than `least` gets none, as attention does if
// all together have fewer: what stays in the caches says nothing about memory. Takes some 30 ms a
// choice, at most 150.
FetchDistances measure_fetch(std::span<const PackedMatrix* const> matrices, size_t least,
                             const AttentionKernels& attention, ThreadPool& pool);

// Twice the last-level cache, or 64 MiB if that is more.
size_t least_measured_bytes();

}  // namespace sluice::cpu
