#include "runtime/sampler/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "runtime/sampler/random.h"

namespace sluice::runtime {
namespace {

// Known answers of Philox4x32-10 from the authors' test file (Random123, kat_vectors).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformDependsOnEveryKeyPart) {
  const double base = uniform(1, 2, 3);
  EXPECT_NE(base, uniform(2, 2, 3));
  EXPECT_NE(base, uniform(1, 3, 3));
  EXPECT_NE(base, uniform(1, 2, 4));
  EXPECT_NE(base, uniform(1 + (uint64_t{1} << 40), 2, 3));
  EXPECT_EQ(base, uniform(1, 2, 3));
}

SampledToken draw(std::vector<float> logits, const SamplingParameters& parameters,
                  uint64_t position = 0, const TokenCounts& counts = {},
                  std::vector<TokenId> stop_ids = {}, std::vector<TokenId> markers = {}) {
  return sample(logits, {.parameters = &parameters,
                         .counts = &counts,
                         .stop_ids = stop_ids,
                         .unpenalised = markers,
                         .position = position});
}

// Frequencies over many positions.
std::map<TokenId, double> shares(const std::vector<float>& logits,
                                 const SamplingParameters& parameters) {
  constexpr int kDraws = 20000;
  std::map<TokenId, double> result;
  for (int i = 0; i < kDraws; ++i)
    result[draw(logits, parameters, static_cast<uint64_t>(i)).id] += 1.0 / kDraws;
  return result;
}

TEST(Sampler, GreedyTakesTheFirstMaximum) {
  SamplingParameters greedy{.temperature = 0};
  EXPECT_EQ(draw({1, 3, 3, 2}, greedy).id, 1);
  EXPECT_TRUE(greedy.plain_greedy());
  greedy.logprobs = 0;
  EXPECT_FALSE(greedy.plain_greedy());
}

TEST(Sampler, FollowsTheSoftmax) {
  const std::vector<float> logits = {0, 1, 2, -1};
  const auto seen = shares(logits, {.temperature = 0.8, .seed = 7});
  double total = 0;
  for (const float logit : logits) total += std::exp(logit / 0.8);
  for (size_t i = 0; i < logits.size(); ++i) {
    EXPECT_NEAR(seen.at(static_cast<TokenId>(i)), std::exp(logits[i] / 0.8) / total, 0.012) << i;
  }
}

TEST(Sampler, TopKKeepsTies) {
  const auto seen = shares({2, 1, 1, 0}, {.top_k = 2, .seed = 3});
  EXPECT_TRUE(seen.contains(1) && seen.contains(2));
  EXPECT_FALSE(seen.contains(3));
}

TEST(Sampler, TopPDropsFromBelow) {
  // Probabilities 0.5, 0.3, 0.15, 0.05. 1 - p = 0.2 may be dropped: 0.05 + 0.15 = 0.2 is still
  // within.
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f),
                                     std::log(0.05f)};
  EXPECT_EQ(shares(logits, {.top_p = 0.9, .seed = 1}).size(), 3u);
  EXPECT_EQ(shares(logits, {.top_p = 0.7, .seed = 1}).size(), 2u);
  EXPECT_EQ(shares(logits, {.top_p = 0.01, .seed = 1}).size(), 1u);
}

TEST(Sampler, MinPComparesWithTheBest) {
  const std::vector<float> logits = {std::log(0.6f), std::log(0.3f), std::log(0.1f)};
  EXPECT_EQ(shares(logits, {.min_p = 0.4, .seed = 1}).size(), 2u);
  EXPECT_EQ(shares(logits, {.min_p = 0.1, .seed = 1}).size(), 3u);
}

TEST(Sampler, PenaltiesFollowTheFormulas) {
  TokenCounts counts;
  counts.add_prompt(std::vector<TokenId>{0, 1});
  for (const TokenId token : {1, 1, 2}) counts.add_output(token);
  SamplingParameters p{.temperature = 0,
                       .presence_penalty = 0.5,
                       .frequency_penalty = 0.25,
                       .repetition_penalty = 2};
  std::vector<float> logits = {4, 4, -1, 1};
  sample(logits, {.parameters = &p, .counts = &counts});
  EXPECT_FLOAT_EQ(logits[0], 2.0f);                  // prompt only: repetition
  EXPECT_FLOAT_EQ(logits[1], 2.0f - 0.5f - 0.5f);    // both, twice in the output: repetition once
  EXPECT_FLOAT_EQ(logits[2], -2.0f - 0.25f - 0.5f);  // negative logits are multiplied
  EXPECT_FLOAT_EQ(logits[3], 1.0f);
}

TEST(Sampler, MarkersKeepTheirWeight) {
  TokenCounts counts;
  counts.add_output(1);
  const SamplingParameters p{.temperature = 0, .presence_penalty = 2};
  EXPECT_EQ(draw({1, 2}, p, 0, counts).id, 0);
  EXPECT_EQ(draw({1, 2}, p, 0, counts, {}, {1}).id, 1);
}

TEST(Sampler, MinTokensMasksStops) {
  const SamplingParameters p{.temperature = 0, .min_tokens = 2};
  EXPECT_EQ(draw({1, 5}, p, 1, {}, {1}).id, 0);
  EXPECT_EQ(draw({1, 5}, p, 2, {}, {1}).id, 1);
}

TEST(Sampler, BiasIsClamped) {
  EXPECT_EQ(draw({0, 99}, {.temperature = 0, .logit_bias = {{0, 1000.0f}}}).id, 0);
  EXPECT_EQ(draw({0, 101}, {.temperature = 0, .logit_bias = {{0, 1000.0f}}}).id, 1);
}

TEST(Sampler, LogprobsAreRawAndOrdered) {
  const SamplingParameters p{.temperature = 0, .logit_bias = {{2, 50.0f}}, .logprobs = 2};
  const SampledToken token = draw({1, 1, 0}, p);
  EXPECT_EQ(token.id, 2);
  const double normaliser = std::log(2 * std::exp(1.0) + 1);
  EXPECT_NEAR(token.logprob, 0 - normaliser, 1e-6);
  ASSERT_EQ(token.top.size(), 2u);
  EXPECT_EQ(token.top[0].id, 0);
  EXPECT_EQ(token.top[1].id, 1);
  EXPECT_NEAR(token.top[0].logprob, 1 - normaliser, 1e-6);
}

TEST(Sampler, NeverTakesNotANumber) {
  const float nan = std::nanf("");
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(draw({nan, 1, nan}, {.seed = 1}, i).id, 1);
}

TEST(Sampler, RefusesByName) {
  EXPECT_EQ(check_sampling({.temperature = 2.5}).error().what, "temperature");
  EXPECT_EQ(check_sampling({.temperature = std::nan("")}).error().what, "temperature");
  EXPECT_EQ(check_sampling({.top_p = 0}).error().what, "top_p");
  EXPECT_EQ(check_sampling({.top_k = -2}).error().what, "top_k");
  EXPECT_EQ(check_sampling({.min_p = 1.1}).error().what, "min_p");
  EXPECT_EQ(check_sampling({.presence_penalty = 3}).error().what, "presence_penalty");
  EXPECT_EQ(check_sampling({.repetition_penalty = 0}).error().what, "repetition_penalty");
  EXPECT_TRUE(check_sampling({}).ok());
}

TEST(TokenCounts, AddAndRemoveCancel) {
  TokenCounts counts;
  counts.add_output(5);
  counts.add_output(5);
  counts.remove_output(5);
  EXPECT_EQ(counts.output().at(5), 1);
  counts.remove_output(5);
  EXPECT_TRUE(counts.output().empty());
}

}  // namespace
}  // namespace sluice::runtime
