// The drawn token is that of the plain way: every candidate sorted, cut and walked through.
#include "runtime/sampler/candidates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace sluice::runtime {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<Candidate> plain_candidates(std::span<const float> logits,
                                        const SamplingParameters& p) {
  const double temperature = std::max(p.temperature, 0.01);
  std::vector<Candidate> kept;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] != kMasked && !std::isnan(logits[i]))
      kept.push_back({static_cast<TokenId>(i), static_cast<float>(logits[i] / temperature)});
  }
  std::sort(kept.begin(), kept.end(), before);
  const auto keep_from = [&](float limit) {
    std::erase_if(kept, [&](const Candidate& c) { return c.logit < limit; });
  };
  if (p.min_p > 0) keep_from(static_cast<float>(kept.front().logit + std::log(p.min_p)));
  if (p.top_k > 0 && static_cast<size_t>(p.top_k) < kept.size())
    keep_from(kept[static_cast<size_t>(p.top_k - 1)].logit);
  if (p.top_p >= 1) return kept;
  double total = 0;
  for (const Candidate& c : kept) total += std::exp(double{c.logit} - kept.front().logit);
  double dropped = 0;
  while (kept.size() > 1) {
    dropped += std::exp(double{kept.back().logit} - kept.front().logit);
    if (dropped > (1 - p.top_p) * total) break;
    kept.pop_back();
  }
  return kept;
}

TokenId plain_draw(std::span<const Candidate> candidates, double u) {
  double total = 0;
  for (const Candidate& c : candidates)
    total += std::exp(double{c.logit} - candidates.front().logit);
  double left = u * total;
  for (const Candidate& c : candidates) {
    left -= std::exp(double{c.logit} - candidates.front().logit);
    if (left < 0) return c.id;
  }
  return candidates.back().id;
}

// Rows of many shapes, longer than a few blocks and no multiple of one.
std::vector<std::vector<float>> rows() {
  std::mt19937 random(7);
  std::vector<std::vector<float>> all;
  for (const size_t length : {1u, 15u, 255u, 256u, 257u, 2500u}) {
    for (const float spread : {0.0f, 0.3f, 3.0f, 12.0f}) {
      std::normal_distribution<float> normal(-3, spread + 1e-6f);
      std::vector<float> row(length);
      for (float& value : row) value = normal(random);
      all.push_back(row);
      // Ties, in blocks and across them.
      for (float& value : row) value = std::round(value * 2) / 2;
      all.push_back(row);
      // A grammar leaves few; some of it is not a number.
      for (size_t i = 0; i < length; ++i) {
        if (i % 7 != 3) row[i] = kMasked;
        if (i % 35 == 3) row[i] = kNan;
      }
      if (length > 10) all.push_back(row);
    }
  }
  std::vector<float> peaked(2500, -30.0f);
  peaked[2499] = 9;
  peaked[700] = 8.5f;
  all.push_back(peaked);
  return all;
}

TEST(LogitRow, DrawsAsThePlainWayDoes) {
  for (const auto& row : rows()) {
    const LogitRow fast(row);
    ASSERT_FALSE(fast.empty());
    for (const double temperature : {0.02, 0.7, 1.0, 2.0}) {
      for (const double top_p : {1.0, 0.9999, 0.95, 0.3}) {
        for (const int64_t top_k : {0, 1, 2, 9, 50, 4000}) {
          for (const double min_p : {0.0, 0.05, 1.0}) {
            const SamplingParameters p{
                .temperature = temperature, .top_p = top_p, .top_k = top_k, .min_p = min_p};
            const auto kept = plain_candidates(row, p);
            for (const double u : {0.0, 0.31, 0.77, 0.9999, 1 - 1e-16}) {
              ASSERT_EQ(fast.draw(p, u), plain_draw(kept, u))
                  << row.size() << " logits, temperature " << temperature << " top_p " << top_p
                  << " top_k " << top_k << " min_p " << min_p << " u " << u;
            }
          }
        }
      }
    }
  }
}

TEST(LogitRow, MaximumAndLargest) {
  for (const auto& row : rows()) {
    const auto all = plain_candidates(row, {});
    const LogitRow fast(row);
    EXPECT_EQ(fast.maximum(), all.front().id);
    for (const size_t count : {0u, 1u, 3u, 20u, 3000u}) {
      const auto largest = fast.largest(static_cast<int64_t>(count));
      ASSERT_EQ(largest.size(), std::min(count, all.size()));
      for (size_t i = 0; i < largest.size(); ++i) {
        EXPECT_EQ(largest[i].id, all[i].id) << i;
        EXPECT_EQ(largest[i].logit, row[static_cast<size_t>(all[i].id)]) << i;
      }
    }
  }
}

TEST(LogitRow, WithoutACandidate) {
  for (const auto& row : {std::vector<float>(300, kMasked), std::vector<float>(300, kNan)}) {
    const LogitRow fast(row);
    EXPECT_TRUE(fast.empty());
    EXPECT_EQ(fast.maximum(), 0);
    EXPECT_TRUE(fast.largest(5).empty());
  }
}

}  // namespace
}  // namespace sluice::runtime
