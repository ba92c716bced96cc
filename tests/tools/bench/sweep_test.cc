// The sweep on the demo model: what it measures, what it leaves out and says so. No times.
#include <gtest/gtest.h>

#include "tools/bench/bench.h"
#include "tools/bench/bench_report.h"
#include "tools/bench/loaded_sprout.h"

namespace sluice::tools {
namespace {

class SweepOfSprout : public testing::Test {
 protected:
  SweepOfSprout() : sprout_("cpu") {
    options_.prompts = {70};
    options_.rows = {1, 3};
    options_.drafts = {2};
    options_.contexts = {64, 200};
    options_.steps = 2;
    options_.repeat = 2;
    options_.seconds = 1000;
    options_.floor_bytes = 1 << 20;
  }

  Result<BenchResult> run() {
    const BenchModel model{.binding = *sprout_.binding,
                           .model = *sprout_.model,
                           .backend = *sprout_.backend,
                           .load_seconds = 1,
                           .shape = memory_shape(sprout_.binding->config, options_.kv),
                           .planned_memory = 5,
                           .peak_memory = [] { return uint64_t{4}; }};
    return run_bench(model, options_);
  }

  test::LoadedSprout sprout_;
  BenchOptions options_;
};

TEST_F(SweepOfSprout, MeasuresWhatItWasAsked) {
  const auto result = run();
  ASSERT_TRUE(result.ok()) << result.error().message();
  std::vector<std::string> names;
  for (const Figure& figure : result->figures) {
    names.push_back(figure.name());
    EXPECT_EQ(figure.repetitions, 2) << figure.name();
    for (const Spread& spread : {figure.tokens_per_second, figure.milliseconds,
                                 figure.floor_tokens_per_second, figure.share}) {
      EXPECT_GT(spread.min, 0) << figure.name();
      EXPECT_LE(spread.min, spread.median) << figure.name();
      EXPECT_LE(spread.median, spread.max) << figure.name();
    }
  }
  // 200 tokens end on the grid of 64 at 192.
  EXPECT_EQ(names, (std::vector<std::string>{"prompt of 70", "answer, 1 row", "answer, 3 rows",
                                             "answer, 2 drafts a step", "answer behind 64",
                                             "answer behind 192"}));
  EXPECT_TRUE(result->left_out.empty()) << result->left_out.front();
  EXPECT_EQ(result->figures[3].proposed.size(), 2u);
  EXPECT_EQ(result->planned_memory, 5u);
  EXPECT_EQ(result->peak_memory, 4u);

  std::vector<std::string> timed;
  for (const TimeShares& times : result->times) {
    timed.push_back(times.name);
    double sum = 0;
    for (const auto& [name, share] : times.shares) sum += share;
    EXPECT_NEAR(sum, 1, 1e-9) << times.name;
  }
  EXPECT_EQ(timed, (std::vector<std::string>{"prompt of 70", "answer, 1 row", "answer, 3 rows",
                                             "answer behind 192"}));

  const BenchConditions conditions = {.model = "sprout",
                                      .backend = "cpu",
                                      .instruction_set = "any",
                                      .activations = "wide",
                                      .kv = "bf16",
                                      .prefetch = "nibble 1024"};
  const std::string text = bench_text(conditions, *result);
  for (const std::string& name : names) EXPECT_NE(text.find(name), std::string::npos) << name;
  EXPECT_NE(text.find("nibble 1024"), std::string::npos);
  const Json json = bench_json(conditions, *result);
  EXPECT_EQ(json.find("figures")->items().size(), names.size());
  EXPECT_EQ(json.find("peer"), nullptr);
}

// It is kept beside all that an answer behind the short one may still need: decode() checks. The
// model's own 4096 tokens would be too few to fill the cache.
TEST_F(SweepOfSprout, ALongContextStaysKnown) {
  sprout_.binding->config.context = 8192;
  options_.prompts = {};
  options_.rows = {};
  options_.drafts = {};
  options_.contexts = {64, 7936};
  options_.repeat = 3;
  const auto result = run();
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->figures.size(), 2u);
}

TEST_F(SweepOfSprout, SaysWhatTheModelCannotDo) {
  options_.prompts = {70, 5000};
  options_.rows = {1};
  options_.drafts = {};
  options_.contexts = {8192};
  options_.repeat = 1;
  const auto result = run();
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->figures.size(), 2u);
  ASSERT_EQ(result->left_out.size(), 2u);
  EXPECT_NE(result->left_out[0].find("prompt of 5000"), std::string::npos);
  EXPECT_NE(result->left_out[1].find("answer behind 8192"), std::string::npos);
  EXPECT_NE(result->left_out[1].find("4096"), std::string::npos);
}

TEST_F(SweepOfSprout, TimeThatIsOverIsAnErrorOrALine) {
  options_.seconds = 0;
  const auto nothing = run();
  ASSERT_FALSE(nothing.ok());
  EXPECT_EQ(nothing.error().code, ErrorCode::kUsage);
}

TEST_F(SweepOfSprout, CanBeInterrupted) {
  int steps = 0;
  options_.interrupted = [&] { return ++steps > 5; };
  const auto result = run();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kInterrupted);
}

TEST_F(SweepOfSprout, APeerRunsOnceARound) {
  options_.rows = {1};
  options_.drafts = {};
  options_.contexts = {};
  PeerOptions peer;
  peer.words = {"sh", "-c", "echo 'pp 4.0 tg 2.0'"};
  peer.prompt_marker = "pp";
  peer.decode_marker = "tg";
  options_.peer = peer;
  const auto result = run();
  ASSERT_TRUE(result.ok()) << result.error().message();
  ASSERT_EQ(result->peer.size(), 3u);
  EXPECT_EQ(result->peer[0].theirs.median, 4);
  EXPECT_DOUBLE_EQ(result->peer[0].ratio, result->figures[0].tokens_per_second.median / 4);
  EXPECT_DOUBLE_EQ(result->peer[1].ratio, result->figures[1].tokens_per_second.median / 2);

  options_.peer->prompt_marker = "nothing like it";
  EXPECT_EQ(run().error().code, ErrorCode::kFailed);
  options_.peer->words = {"sh", "-c", "echo broken; exit 4"};
  const auto broken = run();
  ASSERT_FALSE(broken.ok());
  EXPECT_NE(broken.error().why.find("status 4"), std::string::npos) << broken.error().why;
  EXPECT_NE(broken.error().why.find("broken"), std::string::npos) << broken.error().why;
}

TEST(SpreadOf, MedianOfOddAndEvenNumbers) {
  EXPECT_EQ(spread_of({3, 1, 2}).median, 2);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).median, 2.5);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).min, 1);
  EXPECT_EQ(spread_of({4, 1, 2, 3}).max, 4);
}

}  // namespace
}  // namespace sluice::tools
