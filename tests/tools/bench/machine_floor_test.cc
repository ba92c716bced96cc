#include "tools/bench/machine_floor.h"

#include <gtest/gtest.h>

#include <cstring>

#include "backend/registry.h"
#include "base/memory.h"

namespace sluice::tools {
namespace {

// Every loop that this machine can execute, on one grain and on many.
TEST(MachineLoops, StayWithinTheirBytes) {
  for (const std::string& name : backend::instruction_sets()) {
    const MachineLoops& loops = machine_loops(name);
    PageBlock block(static_cast<size_t>(4 * MachineLoops::kGrain));
    for (const int64_t bytes : {MachineLoops::kGrain, 2 * MachineLoops::kGrain}) {
      std::memset(block.data(), 7, block.size());
      loops.read(block.data(), bytes);
      loops.update(block.data(), bytes);
      for (auto at = static_cast<size_t>(bytes); at < block.size(); ++at)
        ASSERT_EQ(block.data()[at], std::byte{7}) << name << " wrote at " << at << " of " << bytes;
    }
    for (const auto& products : {loops.fp32, loops.int16, loops.int8}) {
      if (products.run == nullptr) continue;
      EXPECT_GT(products.per_turn, 0) << name;
      products.run(1);
      products.run(3);
    }
  }
}

TEST(MachineLoops, UnknownClassesHaveThePortableOnes) {
  EXPECT_EQ(&machine_loops(""), &portable_loops());
  EXPECT_EQ(&machine_loops("abacus"), &portable_loops());
}

TEST(MachineFloor, MeasuresAllThereIs) {
  const std::string best = backend::instruction_sets().back();
  const auto floor = MachineFloor::create(2, best, 100'000);  // not a multiple of anything
  ASSERT_TRUE(floor.ok()) << floor.error().message();
  const MachineSpeed speed = (*floor)->measure();
  EXPECT_GT(speed.read, 0);
  EXPECT_GT(speed.update, 0);
  EXPECT_GT(speed.fp32, 0);
  EXPECT_GT(speed.barrier, 0);
  EXPECT_EQ(speed.int8 > 0, machine_loops(best).int8.run != nullptr);
}

}  // namespace
}  // namespace sluice::tools
