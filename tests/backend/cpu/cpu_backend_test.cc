// The CPU backend as a whole: the forced instruction set, memory that does not fit, memory that is
// what was announced, limits of the kernels, states in the common order.
#include "backend/cpu/cpu_backend.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "backend/ref/ref_backend.h"
#include "base/memory.h"
#include "ops/arrays.h"

namespace sluice::cpu {
namespace {

using ops::testing::bits_of;
using ops::testing::random_values;

std::unique_ptr<ops::Backend> make(int threads = 1) {
  auto backend = create_cpu_backend({.threads = threads});
  EXPECT_TRUE(backend.ok());
  return std::move(backend).value();
}

class ForcedSet : public ::testing::Test {
 protected:
  void TearDown() override { ::unsetenv("SLUICE_CPU"); }
};

TEST_F(ForcedSet, IsTheOneThatRuns) {
  for (const InstructionSet set : supported_instruction_sets()) {
    ::setenv("SLUICE_CPU", std::string(instruction_set_name(set)).c_str(), 1);
    EXPECT_EQ(make()->info().instruction_set, instruction_set_name(set));
  }
}

TEST_F(ForcedSet, UnknownIsAnErrorThatListsTheSupported) {
  ::setenv("SLUICE_CPU", "mmx", 1);
  const auto backend = create_cpu_backend({.threads = 1});
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.error().code, ErrorCode::kUsage);
  EXPECT_NE(backend.error().message().find("portable"), std::string::npos)
      << backend.error().message();
}

TEST(CpuMemory, WhatDoesNotFitIsRefusedWithTheArithmetic) {
  const auto backend = make();
  const size_t petabyte = size_t{1} << 50;
  const auto buffer = backend->allocate(petabyte);
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(buffer.error().code, ErrorCode::kDoesNotFit);
  EXPECT_NE(buffer.error().why.find("1125899906842624 bytes"), std::string::npos);
  EXPECT_NE(buffer.error().why.find("available"), std::string::npos);

  ops::KvSpec kv{.layers = 16,
                 .heads = 4,
                 .head_dim = 256,
                 .pages = int64_t{1} << 40,
                 .format = ops::KvFormat::kBF16,
                 .key_scales = {},
                 .value_scales = {}};
  EXPECT_EQ(backend->create_kv_cache(kv).error().code, ErrorCode::kDoesNotFit);
  kv.pages = INT64_MAX;  // the product does not fit 64 bits
  EXPECT_EQ(backend->create_kv_cache(kv).error().code, ErrorCode::kDoesNotFit);

  ops::RecurrentSpec state{.layers = 48,
                           .key_heads = 16,
                           .value_heads = 48,
                           .key_dim = 128,
                           .value_dim = 128,
                           .slots = int64_t{1} << 40,
                           .pending_rows = 4};
  EXPECT_EQ(backend->create_recurrent_state(state).error().code, ErrorCode::kDoesNotFit);
}

TEST(CpuMemory, ShapesBeyondTheKernelsAreNamed) {
  const auto backend = make();
  const ops::RecurrentSpec good{.layers = 1,
                                .key_heads = 1,
                                .value_heads = 1,
                                .key_dim = 8,
                                .value_dim = 8,
                                .slots = 1,
                                .pending_rows = 2};
  ASSERT_TRUE(backend->create_recurrent_state(good).ok());
  ops::RecurrentSpec wide = good, long_kernel = good, deep = good;
  wide.key_dim = kMaxKeyDim + 1;
  long_kernel.conv_kernel = kMaxConvKernel + 1;
  deep.pending_rows = kMaxPendingRows + 1;
  for (const ops::RecurrentSpec& spec : {wide, long_kernel, deep}) {
    const auto state = backend->create_recurrent_state(spec);
    ASSERT_FALSE(state.ok());
    EXPECT_NE(state.error().remedy.find("--backend ref"), std::string::npos);
  }
}

ops::RecurrentSpec states_of(int64_t slots) {
  return {.layers = 8,
          .key_heads = 4,
          .value_heads = 8,
          .key_dim = 128,
          .value_dim = 128,
          .slots = slots,
          .pending_rows = 4};
}

// Resident growth of touching what `make_it` returns, against the announced bytes.
TEST(CpuMemory, StatesAndCachesTakeWhatTheirSpecsSay) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's own memory counts as well";
#endif
  const auto backend = make();
  const ops::RecurrentSpec spec = states_of(16);
  const uint64_t before = anonymous_resident_memory();
  auto state = backend->create_recurrent_state(spec);
  ASSERT_TRUE(state.ok());
  for (int64_t slot = 0; slot < spec.slots; ++slot) backend->reset_slot(*state.value(), slot);
  const auto grown = static_cast<double>(anonymous_resident_memory() - before);
  const auto said = static_cast<double>((spec.state_bytes() + spec.pending_bytes()) * 16);
  // Large pages round up, the untouched pending rows of the last slot may be missing.
  EXPECT_LE(grown, said * 1.01 + (2 << 20));
  EXPECT_GE(grown, static_cast<double>(spec.state_bytes() * 16) * 0.99);
}

// Every piece of it, whichever member of the team touches it.
TEST(CpuMemory, CachesAndStatesAreInUseFromTheStart) {
  PageBlock probe(size_t{8} << 20);
  const uint64_t without = anonymous_resident_memory();
  probe.populate();
  if (anonymous_resident_memory() < without + probe.size())
    GTEST_SKIP() << "memory is not touched when asked for (qemu takes the advice for granted)";
  const auto backend = make(3);
  const ops::KvSpec keys_and_values{.layers = 2,
                                    .heads = 4,
                                    .head_dim = 128,
                                    .pages = 90,
                                    .format = ops::KvFormat::kBF16,
                                    .key_scales = {},
                                    .value_scales = {}};
  const ops::RecurrentSpec states = states_of(5);
  const uint64_t before = anonymous_resident_memory();
  const auto cache = backend->create_kv_cache(keys_and_values);
  const uint64_t between = anonymous_resident_memory();
  const auto state = backend->create_recurrent_state(states);
  const uint64_t after = anonymous_resident_memory();
  ASSERT_TRUE(cache.ok() && state.ok());
  EXPECT_GE(between - before, keys_and_values.bytes_per_page() * 90);
  EXPECT_GE(after - between, states.state_bytes() * 5);
}

TEST(CpuMemory, ScratchIsAnnouncedWhole) {
  const auto backend = make(2);
  const size_t fixed = CpuBackend::fixed_scratch_bytes(2);
  EXPECT_GE(backend->scratch_bytes(1, 64), fixed);
  EXPECT_GE(backend->scratch_bytes(512, 17408), backend->scratch_bytes(64, 5120));
  ASSERT_TRUE(backend->reserve_scratch(64, 5120).ok());
  ASSERT_TRUE(backend->reserve_scratch(8, 512).ok());  // less than reserved: nothing to do
}

// Narrow last blocks (value_dim 40, 8) and full ones: the image is the reference backend's.
TEST(CpuState, ImagesAreInTheCommonOrder) {
  ref::RefBackend reference(1);
  const auto backend = make();
  for (const int64_t value_dim : {8, 32, 40, 128}) {
    const ops::RecurrentSpec spec{.layers = 2,
                                  .key_heads = 2,
                                  .value_heads = 4,
                                  .key_dim = 6,
                                  .value_dim = value_dim,
                                  .slots = 2,
                                  .pending_rows = 3};
    const auto mine = backend->create_recurrent_state(spec);
    const auto theirs = reference.create_recurrent_state(spec);
    ASSERT_TRUE(mine.ok() && theirs.ok());
    const auto image = random_values(4, static_cast<int64_t>(spec.state_bytes() / sizeof(float)));
    backend->import_slot(*mine.value(), 1, image);
    reference.import_slot(*theirs.value(), 1, image);
    EXPECT_EQ(bits_of(backend->export_slot(*mine.value(), 1)), bits_of(image));

    // The layout matters only if it is the one that the rule works on: a prompt row on both.
    const ops::Batch batch = ops::testing::make_batch(std::vector<ops::testing::Piece>{
        {.role = ops::Role::kPrompt, .first_index = 5, .tokens = {0}, .slot = 1}});
    const auto run = [&](ops::Backend& on, ops::RecurrentState& state) {
      using ops::testing::Array;
      const int64_t keys = spec.key_width(), values = spec.value_width();
      const Array query(on, 1, keys, random_values(5, keys)),
          key(on, 1, keys, random_values(6, keys));
      const Array value(on, 1, values, random_values(7, values));
      const Array beta(on, 1, 4, random_values(8, 4, 0, 1)),
          g(on, 1, 4, random_values(9, 4, -1, 0));
      const Array out(on, 1, values);
      on.gdn_delta({&batch, query, key, value, beta, g, &state, 1, out});
      return on.export_slot(state, 1);
    };
    const auto a = run(*backend, *mine.value()), b = run(reference, *theirs.value());
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
      ASSERT_NEAR(a[i], b[i], 2e-6f) << i << " of " << value_dim;
    EXPECT_NE(bits_of(a), bits_of(image));
  }
}

}  // namespace
}  // namespace sluice::cpu
