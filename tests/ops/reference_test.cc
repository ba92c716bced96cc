// The reference backend under the suites that all backends share, with no allowance beyond one
// rounding of a result.
#include <gtest/gtest.h>

#include "backend/ref/ref_backend.h"
#include "ops/backend_suite.h"

namespace sluice::ops::testing {
namespace {

BackendFactory reference(int threads) {
  return [threads] { return std::make_unique<ref::RefBackend>(threads); };
}

SuiteOptions exact() {
  SuiteOptions options;
  options.product_term_error = 0;
  options.attention_term_error = 0;
  options.chunk_term_error = 0;
  options.step_term_error = 0;
  return options;
}

TEST(ReferenceBackend, Values) { check_values(reference(1), exact()); }
TEST(ReferenceBackend, Memory) { check_memory(reference(1)); }
TEST(ReferenceBackend, DeferredCommit) { check_deferred_commit(reference(1)); }
TEST(ReferenceBackend, ChunkGrid) { check_chunk_grid(reference(1)); }
TEST(ReferenceBackend, Company) { check_company(reference(1)); }
TEST(ReferenceBackend, ThreadsChangeNoBit) { check_same_bits(reference(1), reference(3)); }

}  // namespace
}  // namespace sluice::ops::testing
