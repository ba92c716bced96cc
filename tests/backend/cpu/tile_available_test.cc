// When a process multiplies by tiles: on machines that are made up, because there is none here.
#include <gtest/gtest.h>

#include "backend/cpu/amx/available.h"
#include "backend/cpu/amx/self_check.h"
#include "backend/tile_inputs.h"
#include "support/warnings.h"

namespace sluice::test {
namespace {

// The right results but for one output of the second tile.
template <cpu::ProductFunction kProduct>
void one_wrong(const cpu::ProductCall& call) {
  kProduct(call);
  call.out[16 * call.stride] += 1;
}

constexpr cpu::ProductFunction kIntegers = cpu::twin::integer_product_portable;
constexpr cpu::ProductFunction kFloats = cpu::twin::float_product_portable;

TEST(TileSelfCheck, FindsWrongResults) {
  for (const Lanes& lanes : supported_lanes()) {
    EXPECT_TRUE(cpu::amx::passes_self_check(lanes.tiles, lanes.float_tiles));
    EXPECT_TRUE(cpu::amx::passes_self_check(lanes.plain, lanes.float_tiles));
  }
  EXPECT_FALSE(cpu::amx::passes_self_check(one_wrong<kIntegers>, kFloats));
  EXPECT_FALSE(cpu::amx::passes_self_check(kIntegers, one_wrong<kFloats>));
  EXPECT_FALSE(cpu::amx::passes_self_check([](const cpu::ProductCall&) {}, kFloats));
}

constexpr uint32_t kAllInstructions = 1u << 22 | 1u << 24 | 1u << 25;
constexpr uint64_t kAllState = 0x60000;

TEST(TileMachine, NeedsInstructionsStateGrantAndSelfCheck) {
  const auto granted = [] { return true; };
  const auto refused = [] { return false; };
  const auto unasked = [] {
    ADD_FAILURE() << "asked the system without need";
    return true;
  };
  const auto unrun = [](const cpu::ProductCall&) { ADD_FAILURE() << "ran tiles without leave"; };
  Warnings warnings;
  EXPECT_TRUE(
      cpu::amx::can_use_tiles({kAllInstructions, kAllState | 0xe7, granted, kIntegers, kFloats}));
  for (const int bit : {22, 24, 25}) {
    const uint32_t without = ~(1u << bit);
    EXPECT_FALSE(cpu::amx::can_use_tiles({without, kAllState, unasked, unrun, unrun})) << bit;
  }
  for (const int bit : {17, 18}) {
    const uint64_t without = ~(uint64_t{1} << bit);
    EXPECT_FALSE(cpu::amx::can_use_tiles({kAllInstructions, without, unasked, unrun, unrun}))
        << bit;
  }
  EXPECT_TRUE(warnings.said().empty());
  EXPECT_FALSE(cpu::amx::can_use_tiles({kAllInstructions, kAllState, refused, unrun, unrun}));
  ASSERT_EQ(warnings.said().size(), 1u);
  EXPECT_NE(warnings.said()[0].find("did not grant"), std::string::npos);
  EXPECT_FALSE(cpu::amx::can_use_tiles(
      {kAllInstructions, kAllState, granted, one_wrong<kIntegers>, kFloats}));
  ASSERT_EQ(warnings.said().size(), 2u);
  EXPECT_NE(warnings.said()[1].find("wrong results"), std::string::npos);
}

}  // namespace
}  // namespace sluice::test
