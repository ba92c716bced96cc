// Products of packed weights: the seam between CpuBackend and the kernels of each instruction set.
//
// A weight is packed once, from any format, into a layout that all x86 classes share (16 output
// rows per group, lane = row). Which kernel multiplies it is ranked in ranking.cc alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "backend/cpu/detect.h"
#include "backend/cpu/fetch.h"
#include "base/result.h"
#include "base/threads.h"
#include "ops/backend.h"
#include "tensor/matrix.h"

namespace sluice::cpu {

// What activations become when the user chose nothing (design.md section 3, Numerics; measured in
// docs/decisions/cpu-products.md).
ops::ActivationMode default_mode(InstructionSet set);

// Memory the packed form of such a matrix takes. Only format and shape are read.
size_t packed_bytes(const EncodedMatrix& source, InstructionSet set, ops::ActivationMode mode);

// Packs on all members of the pool, streaming through the source once. Every format has a kernel.
Result<std::unique_ptr<ops::Matrix>> pack_matrix(const EncodedMatrix& source, InstructionSet set,
                                                 ops::ActivationMode mode, ThreadPool& pool);

// Scratch for products of at most `rows` rows with inputs up to `max_columns` wide.
size_t matmul_scratch_bytes(int64_t rows, int64_t max_columns);

struct DenseProduct {
  const ops::Matrix* weight = nullptr;  // made by pack_matrix
  float* out = nullptr;                 // [rows, N]
  int64_t stride = 0;
  ops::Range part = {};  // as in ops::Product
};

// x [rows, K], stride in floats. The first answer_rows rows are an answer's, the rest a prompt's:
// an instruction set may sum the two differently (AMX does for BF16 and FP8). Within each role a
// row's bits do not depend on the number of rows, threads or neighbours, nor on `fetch`. At most 16
// products.
void matmul(const float* x, int64_t rows, int64_t columns, int64_t stride, int64_t answer_rows,
            std::span<const DenseProduct> products, std::span<std::byte> scratch, ThreadPool& pool,
            const FetchDistances& fetch = {});

}  // namespace sluice::cpu
