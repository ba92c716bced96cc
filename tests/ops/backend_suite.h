// What every backend must hold, whatever its arithmetic: the suites that the reference backend and
// each instruction set of the fast ones run. Failures are reported through GoogleTest.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "ops/backend.h"

namespace sluice::ops::testing {

// Makes a fresh backend of the kind under test.
using BackendFactory = std::function<std::unique_ptr<Backend>()>;

// The arithmetic under test, as relative errors. The tolerance of a result is computed from these
// and from the sum of its terms' magnitudes; the rounding of a stored F32 result comes on top.
struct SuiteOptions {
  // One operation between the inputs and the stored result: 2^-24 for F32, 2^-53 for double.
  double unit = 0x1p-24;
  // On top, one term x_k * w_k of a product: 2^-8 where both are rounded to BF16.
  double product_term_error = 0;
  // Added per term: this times (the largest |x| among the 32 inputs of its block) * |w_k|. 1/254
  // with one int8 digit per 32.
  double product_digit_error = 0;
  // On top, one term of q.k and of p*v: 2^-8 with both inputs in BF16.
  double attention_term_error = 0;
  // On top, one term of the delta rule's sums inside a chunk, and of the sequential rule.
  double chunk_term_error = 0;
  double step_term_error = 0;
  std::vector<Format> product_formats = {Format::kF32, Format::kBF16};
  std::vector<KvFormat> kv_formats = {KvFormat::kF32, KvFormat::kBF16, KvFormat::kFp8};
};

// All of the following that need one backend.
void run_suite(const BackendFactory& make_backend, const SuiteOptions& options = {});

// Deferred commit (design.md section 3): outputs, states and columns are bit-equal to decoding the
// accepted tokens one by one, for every accepted count and in random schedules over sequences.
void check_deferred_commit(const BackendFactory& make_backend);
// A prompt in one segment has the bits of any cut on the grid; a partial chunk those of the full.
void check_chunk_grid(const BackendFactory& make_backend);
// A row's bits depend neither on the other rows nor on their number or order.
void check_company(const BackendFactory& make_backend, const SuiteOptions& options = {});
// Pages, slots and images: copies and round trips are exact.
void check_memory(const BackendFactory& make_backend, const SuiteOptions& options = {});
// Two backends give the same bits: the same kind with different numbers of threads.
void check_same_bits(const BackendFactory& make_one, const BackendFactory& make_other);
// Every operation against the reference formulas within a computed bound.
void check_values(const BackendFactory& make_backend, const SuiteOptions& options = {});

}  // namespace sluice::ops::testing
