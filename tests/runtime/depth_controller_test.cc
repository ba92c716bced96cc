// The depth controller over simulated drafts and costs: it finds the best depth, goes off where
// none pays, and comes back. No clock: the simulation says what a step cost.
#include "runtime/spec/depth_controller.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace sluice::runtime {
namespace {

constexpr int kMost = 4;

// What is true, and the controller has to find out.
struct World {
  std::vector<double> verify_ms;  // by rows, from one on
  double idle_ms = 0.2, pass_ms = 0.5;
  std::vector<double> share;  // of drafts that hold, by position, given those before

  double tokens(int depth) const {
    double expected = 1, all = 1;
    for (int i = 0; i < depth; ++i) expected += all *= share[static_cast<size_t>(i)];
    return expected;
  }
  double step_ms(int depth) const {
    return verify_ms[static_cast<size_t>(depth)] + idle_ms + pass_ms * depth;
  }
  double rate(int depth) const { return tokens(depth) / step_ms(depth); }
  int best() const {
    int best = 0;
    for (int depth = 1; depth <= kMost; ++depth) best = rate(depth) > rate(best) ? depth : best;
    return best;
  }
};

// Rows of a machine whose steps are bound by memory, and of one where every row costs.
const std::vector<double> kCheapRows = {10, 10.4, 10.8, 11.2, 11.6};
const std::vector<double> kDearRows = {10, 14, 18.5, 23, 28};
const std::vector<double> kRuinousRows = {10, 19, 28, 37, 46};

// One sequence in one engine.
class Simulation {
 public:
  explicit Simulation(unsigned seed = 1) : random_(seed) {}

  // Tokens per millisecond over so many steps.
  double run(const World& world, int steps) {
    double tokens = 0, ms = 0;
    depths_.assign(kMost + 1, 0);
    for (int i = 0; i < steps; ++i) {
      const int depth = controller_.depth();
      ++depths_[static_cast<size_t>(depth)];
      int held = 0;
      while (held < depth && uniform() < world.share[static_cast<size_t>(held)]) ++held;
      const double noise = 1 + 0.1 * (uniform() - 0.5);
      const double verify = world.verify_ms[static_cast<size_t>(depth)] * noise;
      costs_.on_verified(1 + depth, verify);
      if (depth > 0) {
        controller_.on_verified(depth, held);
        shared_.on_verified(depth, held);
      }
      const int next = controller_.choose(costs_, {});
      const double draft = world.idle_ms + world.pass_ms * next;
      costs_.on_drafted(next, draft);
      tokens += 1 + held;
      ms += verify + draft;
    }
    return tokens / ms;
  }
  // Share of the last run's steps at this depth.
  double at(int depth) const {
    double all = 0;
    for (const int64_t count : depths_) all += static_cast<double>(count);
    return static_cast<double>(depths_[static_cast<size_t>(depth)]) / all;
  }
  const StepCosts& costs() const { return costs_; }

 private:
  double uniform() { return std::uniform_real_distribution<double>()(random_); }
  std::mt19937 random_;
  StepCosts costs_;
  Acceptance shared_{kMost, 0.8, 4, 0.99};
  DepthController controller_{kMost, shared_};
  std::vector<int64_t> depths_;
};

TEST(DepthController, FindsTheBestDepthOfEveryWorld) {
  const std::vector<std::vector<double>> kShares = {{0.95, 0.92, 0.9, 0.9},
                                                    {0.85, 0.7, 0.6, 0.5},
                                                    {0.6, 0.4, 0.3, 0.2},
                                                    {0.3, 0.2, 0.1, 0.1},
                                                    {0.02, 0, 0, 0}};
  for (const auto& rows : {kCheapRows, kDearRows, kRuinousRows}) {
    for (const auto& shares : kShares) {
      const World world{.verify_ms = rows, .share = shares};
      for (const unsigned seed : {1u, 2u, 3u}) {
        Simulation simulation(seed);
        simulation.run(world, 500);
        const double rate = simulation.run(world, 4000);
        const int best = world.best();
        const std::string where = "rows " + std::to_string(rows[1]) + " share " +
                                  std::to_string(shares[0]) + " best " + std::to_string(best);
        EXPECT_GT(rate, 0.96 * world.rate(best)) << where;
        // Never slower than without drafts, but for the trials.
        EXPECT_GT(rate, 0.98 * world.rate(0)) << where;
      }
    }
  }
}

TEST(DepthController, SettlesClearly) {
  Simulation deep, shallow, off;
  const World cheap{.verify_ms = kCheapRows, .share = {0.95, 0.95, 0.95, 0.95}};
  const World dear{.verify_ms = kDearRows, .share = {0.85, 0.3, 0.2, 0.1}};
  const World ruinous{.verify_ms = kRuinousRows, .share = {0.5, 0.5, 0.5, 0.5}};
  EXPECT_EQ(cheap.best(), 4);
  EXPECT_EQ(dear.best(), 1);
  EXPECT_EQ(ruinous.best(), 0);
  deep.run(cheap, 300), shallow.run(dear, 300), off.run(ruinous, 300);
  deep.run(cheap, 2000), shallow.run(dear, 2000), off.run(ruinous, 2000);
  EXPECT_GT(deep.at(4), 0.9);
  EXPECT_GT(shallow.at(1), 0.9);
  EXPECT_GT(off.at(0), 0.97);
}

TEST(DepthController, ADeadHeadCostsLittleFromTheStart) {
  const World dead{.verify_ms = kDearRows, .share = {0, 0, 0, 0}};
  Simulation simulation;
  simulation.run(dead, 100);
  EXPECT_GT(simulation.at(0), 0.7) << "some drafts to find out";
  simulation.run(dead, 5000);
  EXPECT_GT(simulation.at(0), 0.985);
  EXPECT_LT(simulation.at(0), 1.0) << "it is tried again";
}

TEST(DepthController, ComesBack) {
  World world{.verify_ms = kDearRows, .share = {0, 0, 0, 0}};
  Simulation simulation;
  simulation.run(world, 3000);
  world.share = {0.95, 0.9, 0.85, 0.8};
  ASSERT_GT(world.best(), 0);
  simulation.run(world, 1100);  // the longest quiet time, and a trial
  simulation.run(world, 1000);
  EXPECT_LT(simulation.at(0), 0.1);
  // And goes again.
  world.share = {0, 0, 0, 0};
  simulation.run(world, 200);
  simulation.run(world, 1000);
  EXPECT_GT(simulation.at(0), 0.9);
}

TEST(DepthController, FollowsCosts) {
  World world{.verify_ms = kCheapRows, .share = {0.7, 0.7, 0.7, 0.7}};
  Simulation simulation;
  simulation.run(world, 1000);
  EXPECT_GT(simulation.at(4) + simulation.at(3), 0.8);
  world.verify_ms = kRuinousRows;  // a neighbour took the other cores
  ASSERT_EQ(world.best(), 0);
  simulation.run(world, 1500);
  simulation.run(world, 1000);
  EXPECT_GT(simulation.at(0), 0.9);
}

// Where many other rows are in the step anyway, one more costs little, and the head runs anyway.
TEST(DepthController, LooksAtTheWholeStep) {
  StepCosts costs;
  for (int i = 0; i < 5; ++i) {
    costs.on_verified(1, 10);
    costs.on_verified(2, 16);
    costs.on_verified(9, 30);
    costs.on_verified(10, 31);
    costs.on_drafted(0, 0);
    costs.on_drafted(1, 1);
  }
  const Acceptance shared(1, 0.5, 4, 0.99);
  DepthController alone(1, shared), among(1, shared);
  EXPECT_EQ(alone.choose(costs, {}), 0);
  EXPECT_EQ(among.choose(costs, {.rows = 8, .tokens = 6, .passes = 1}), 1);
}

TEST(StepCosts, LinesThroughWhatWasMeasured) {
  StepCosts costs;
  EXPECT_EQ(costs.known(), 0);
  for (int i = 0; i < 3; ++i) costs.on_verified(1, 10);
  EXPECT_EQ(costs.known(), 1);
  EXPECT_DOUBLE_EQ(costs.verify_ms(5), 10);
  for (int i = 0; i < 3; ++i) costs.on_verified(3, 14);
  EXPECT_EQ(costs.known(), 2);
  EXPECT_DOUBLE_EQ(costs.verify_ms(2), 12);
  EXPECT_DOUBLE_EQ(costs.verify_ms(5), 18);
  for (int i = 0; i < 3; ++i) costs.on_verified(4, 13);
  EXPECT_DOUBLE_EQ(costs.verify_ms(8), 14) << "more rows never cost less: a flat line";
}

TEST(StepCosts, FirstSamplesOnlyLowerAndOutliersAreCut) {
  StepCosts costs;
  for (const double cold : {90.0, 40.0, 10.0}) costs.on_verified(1, cold);
  EXPECT_DOUBLE_EQ(costs.verify_ms(1), 10);
  costs.on_verified(1, 5000);
  EXPECT_DOUBLE_EQ(costs.verify_ms(1), 11);
  for (int i = 0; i < 200; ++i) costs.on_verified(1, 30);
  EXPECT_NEAR(costs.verify_ms(1), 30, 0.1);
  costs.on_verified(1, 0);  // a clock that stands still says nothing
  EXPECT_NEAR(costs.verify_ms(1), 30, 0.1);
}

TEST(StepCosts, PassesOfTheHead) {
  StepCosts costs;
  for (int i = 0; i < 3; ++i) costs.on_drafted(0, 2);
  for (int i = 0; i < 3; ++i) costs.on_drafted(3, 11);
  EXPECT_DOUBLE_EQ(costs.draft_ms(0), 2);
  EXPECT_DOUBLE_EQ(costs.draft_ms(2), 8);
}

TEST(Acceptance, CountsWhatWasLookedAt) {
  Acceptance acceptance(3, 0.5, 2, 1.0);
  EXPECT_DOUBLE_EQ(acceptance.tokens(2), 1 + 0.5 + 0.25);
  for (int i = 0; i < 6; ++i) acceptance.on_verified(3, 1);  // the second failed, the third is moot
  EXPECT_DOUBLE_EQ(acceptance.share(0), 7.0 / 8);
  EXPECT_DOUBLE_EQ(acceptance.share(1), 1.0 / 8);
  EXPECT_DOUBLE_EQ(acceptance.share(2), 0.5);
  const Acceptance like(acceptance, 4, 0.9);
  EXPECT_DOUBLE_EQ(like.share(0), 7.0 / 8);
}

TEST(HeadHealth, TellsOnce) {
  HeadHealth dead, fine;
  int told = 0;
  for (int i = 0; i < 200; ++i) {
    dead.on_verified(2, 0);
    fine.on_verified(2, i % 4 == 0 ? 1 : 0);
    told += dead.newly_dead();
    EXPECT_FALSE(fine.newly_dead());
  }
  EXPECT_EQ(told, 1);
}

}  // namespace
}  // namespace sluice::runtime
