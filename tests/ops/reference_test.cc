// The reference backend under the suites that all backends share, held to double
// arithmetic with one rounding of each result.
#include <gtest/gtest.h>

#include "backend/ref/ref_backend.h"
#include "ops/backend_suite.h"

namespace sluice::ops::testing {
namespace {

BackendFactory reference(int threads) {
  return [threads] { return std::make_unique<ref::RefBackend>(threads); };
}

// Double throughout, with room for its roundings and its library's functions.
SuiteOptions wide() {
  SuiteOptions options;
  options.unit = 0x1p-50;
  return options;
}

TEST(ReferenceBackend, Values) { check_values(reference(1), wide()); }
TEST(ReferenceBackend, Memory) { check_memory(reference(1)); }
TEST(ReferenceBackend, DeferredCommit) { check_deferred_commit(reference(1)); }
TEST(ReferenceBackend, ChunkGrid) { check_chunk_grid(reference(1)); }
TEST(ReferenceBackend, Company) { check_company(reference(1)); }
TEST(ReferenceBackend, ThreadsChangeNoBit) { check_same_bits(reference(1), reference(3)); }

}  // namespace
}  // namespace sluice::ops::testing
