// Masks over a vocabulary, and what the sampler makes of them.
#include "runtime/sampler/token_mask.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "runtime/sampler/sampler.h"

namespace sluice::runtime {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

std::vector<uint64_t> mask_of(size_t vocabulary, std::initializer_list<size_t> ids) {
  std::vector<uint64_t> mask(mask_words(vocabulary));
  for (const size_t id : ids) mask[id / 64] |= uint64_t{1} << (id % 64);
  return mask;
}

SampledToken draw(std::vector<float> logits, const SamplingParameters& parameters,
                  std::span<const uint64_t> allowed, uint64_t position = 0) {
  const TokenCounts counts;
  return sample(
      logits,
      {.parameters = &parameters, .counts = &counts, .allowed = allowed, .position = position});
}

// Every length around the borders of words, and ids on both sides of them.
TEST(TokenMask, ForbidsAllOthers) {
  for (const size_t vocabulary : {1u, 63u, 64u, 65u, 127u, 128u, 200u}) {
    for (size_t open = 0; open < vocabulary; ++open) {
      const auto mask = mask_of(vocabulary, {open});
      std::vector<float> logits(vocabulary, 1.5f);
      forbid_others(logits, mask);
      for (size_t id = 0; id < vocabulary; ++id) {
        EXPECT_EQ(logits[id], id == open ? 1.5f : kForbidden) << vocabulary << " " << id;
        EXPECT_EQ(allows(mask, static_cast<TokenId>(id)), id == open);
      }
    }
  }
}

TEST(TokenMask, AnEmptyOneAllowsAll) {
  std::vector<float> logits = {1, 2};
  forbid_others(logits, {});
  EXPECT_EQ(logits, (std::vector<float>{1, 2}));
  EXPECT_FALSE(allows_any(mask_of(100, {})));
  EXPECT_TRUE(allows_any(mask_of(100, {99})));
  EXPECT_FALSE(allows(mask_of(100, {99}), 500));
}

TEST(MaskedSampler, DrawsWhatIsAllowed) {
  const std::vector<float> logits = {5, 1, 4, 1, 3};
  const auto mask = mask_of(5, {1, 3, 4});
  EXPECT_EQ(draw(logits, {.temperature = 0}, mask).id, 4);
  bool seen[5] = {};
  for (uint64_t position = 0; position < 400; ++position)
    seen[draw(logits, {.temperature = 1.5}, mask, position).id] = true;
  EXPECT_TRUE(!seen[0] && seen[1] && !seen[2] && seen[3] && seen[4]);
  // Cuts look at what is left: the two best of those allowed.
  for (uint64_t position = 0; position < 50; ++position)
    EXPECT_NE(draw(logits, {.temperature = 1, .top_k = 1}, mask, position).id, 0);
}

TEST(MaskedSampler, LogProbabilitiesAreOfWhatIsAllowed) {
  const SampledToken token =
      draw({5, 1, 4, 1, 3}, {.temperature = 0, .logprobs = 4}, mask_of(5, {1, 3, 4}));
  ASSERT_EQ(token.top.size(), 3u) << "what is forbidden is not among the best";
  EXPECT_EQ(token.top[0].id, 4);
  EXPECT_EQ(token.top[1].id, 1);
  EXPECT_EQ(token.top[2].id, 3);
  EXPECT_EQ(token.logprob, token.top[0].logprob);
  const double sum = std::accumulate(
      token.top.begin(), token.top.end(), 0.0,
      [](double so_far, const TokenLogprob& entry) { return so_far + std::exp(entry.logprob); });
  EXPECT_NEAR(sum, 1.0, 1e-6);
}

TEST(MaskedSampler, ForbiddenIdsAreNeverDrawn) {
  SamplingParameters parameters{.temperature = 0, .forbidden_ids = {0, 2, 99}};
  EXPECT_FALSE(parameters.plain_greedy());
  EXPECT_EQ(draw({5, 1, 4, 1, 3}, parameters, {}).id, 4);
}

}  // namespace
}  // namespace sluice::runtime
