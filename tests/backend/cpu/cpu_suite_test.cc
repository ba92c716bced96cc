// The suites that every backend must pass, on the CPU backend: once for each instruction set that
// this machine supports and for teams of one to three.
#include <gtest/gtest.h>

#include <string>
#include <tuple>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/detect.h"
#include "ops/backend_suite.h"

namespace sluice::cpu {
namespace {

class CpuSuite : public ::testing::TestWithParam<std::tuple<InstructionSet, int>> {
 protected:
  static std::unique_ptr<ops::Backend> make() { return with_threads(std::get<1>(GetParam())); }
  static std::unique_ptr<ops::Backend> with_threads(int threads) {
    CpuOptions options;
    options.instruction_set = std::get<0>(GetParam());
    options.threads = threads;
    options.activations = ops::ActivationMode::kWide;
    auto backend = create_cpu_backend(options);
    EXPECT_TRUE(backend.ok()) << backend.error().message();
    return std::move(backend).value();
  }
};

// Without products, two sets that share their vector code cannot differ: the later one is left out.
bool repeats_vector_code(InstructionSet set) {
  for (const InstructionSet earlier : supported_instruction_sets()) {
    if (earlier == set) return false;
    if (&row_kernels(earlier) == &row_kernels(set)) return true;
  }
  return false;
}

TEST_P(CpuSuite, DeferredCommit) {
  if (repeats_vector_code(std::get<0>(GetParam()))) GTEST_SKIP() << "an earlier set's code";
  ops::testing::check_deferred_commit(make);
}
TEST_P(CpuSuite, ChunkGrid) {
  if (repeats_vector_code(std::get<0>(GetParam()))) GTEST_SKIP() << "an earlier set's code";
  ops::testing::check_chunk_grid(make);
}
TEST_P(CpuSuite, ThreadsChangeNoBit) {
  ops::testing::check_same_bits([] { return with_threads(1); }, make);
}
TEST_P(CpuSuite, Company) { ops::testing::check_company(make); }
TEST_P(CpuSuite, Memory) { ops::testing::check_memory(make); }
TEST_P(CpuSuite, Values) { ops::testing::check_values(make); }

std::string name_of(const ::testing::TestParamInfo<std::tuple<InstructionSet, int>>& test) {
  return std::string(instruction_set_name(std::get<0>(test.param))) + "_" +
         std::to_string(std::get<1>(test.param));
}

INSTANTIATE_TEST_SUITE_P(
    Sets, CpuSuite,
    ::testing::Combine(::testing::ValuesIn(supported_instruction_sets().begin(),
                                           supported_instruction_sets().end()),
                       ::testing::Values(1, 2, 3)),
    name_of);

}  // namespace
}  // namespace sluice::cpu
