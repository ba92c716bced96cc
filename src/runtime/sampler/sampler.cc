#include "runtime/sampler/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "runtime/sampler/random.h"

namespace sluice::runtime {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

bool neutral(const SamplingParameters& p) {
  return p.presence_penalty == 0 && p.frequency_penalty == 0 && p.repetition_penalty == 1 &&
         p.logit_bias.empty() && p.forbidden_ids.empty();
}

TokenId first_maximum(std::span<const float> logits) {
  TokenId best = 0;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[static_cast<size_t>(best)]) best = static_cast<TokenId>(i);
  }
  return best;
}

double log_sum_exp(std::span<const float> logits) {
  const float maximum = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float value : logits) sum += std::exp(static_cast<double>(value) - maximum);
  return maximum + std::log(sum);
}

void apply_penalties(std::span<float> logits, const SamplingContext& context) {
  const SamplingParameters& p = *context.parameters;
  const auto at = [&](TokenId id) -> float* {
    return id >= 0 && static_cast<size_t>(id) < logits.size() ? &logits[static_cast<size_t>(id)]
                                                              : nullptr;
  };
  if (p.repetition_penalty != 1) {
    const auto repeat = [&](TokenId id) {
      if (float* logit = at(id)) {
        *logit = static_cast<float>(*logit > 0 ? *logit / p.repetition_penalty
                                               : *logit * p.repetition_penalty);
      }
    };
    for (const auto& [id, count] : context.counts->prompt()) repeat(id);
    for (const auto& [id, count] : context.counts->output()) {
      if (!context.counts->in_prompt(id)) repeat(id);
    }
  }
  if (p.frequency_penalty == 0 && p.presence_penalty == 0) return;
  for (const auto& [id, count] : context.counts->output()) {
    if (std::binary_search(context.unpenalised.begin(), context.unpenalised.end(), id)) continue;
    if (float* logit = at(id)) {
      *logit -= static_cast<float>(p.frequency_penalty * count);
      *logit -= static_cast<float>(p.presence_penalty);
    }
  }
}

struct Candidate {
  TokenId id;
  float logit;  // after temperature
};

bool before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// The candidates that min-p, top-k and top-p leave, most likely first. Cuts by min-p and top-k
// before sorting, so that the usual settings never sort the whole vocabulary.
std::vector<Candidate> cut_candidates(std::span<const float> logits, const SamplingParameters& p) {
  const double temperature = std::max(p.temperature, 0.01);
  std::vector<Candidate> kept;
  kept.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] != kMasked && !std::isnan(logits[i])) {
      kept.push_back({static_cast<TokenId>(i), static_cast<float>(logits[i] / temperature)});
    }
  }
  if (kept.empty()) return kept;
  if (p.min_p > 0) {
    const float maximum = std::min_element(kept.begin(), kept.end(), before)->logit;
    const auto floor = static_cast<float>(maximum + std::log(p.min_p));
    std::erase_if(kept, [&](const Candidate& c) { return c.logit < floor; });
  }
  if (p.top_k > 0 && static_cast<size_t>(p.top_k) < kept.size()) {
    const auto kth = kept.begin() + (p.top_k - 1);
    std::nth_element(kept.begin(), kth, kept.end(), before);
    const float limit = kth->logit;
    std::erase_if(kept, [&](const Candidate& c) { return c.logit < limit; });
  }
  std::sort(kept.begin(), kept.end(), before);
  if (p.top_p < 1) {
    double total = 0;
    for (const Candidate& c : kept)
      total += std::exp(static_cast<double>(c.logit) - kept.front().logit);
    // vLLM's rule from below: drop while the ascending cumulative probability stays within 1 - p.
    const double droppable = (1 - p.top_p) * total;
    double dropped = 0;
    while (kept.size() > 1) {
      dropped += std::exp(static_cast<double>(kept.back().logit) - kept.front().logit);
      if (dropped > droppable) break;
      kept.pop_back();
    }
  }
  return kept;
}

TokenId draw(std::span<const Candidate> candidates, double u) {
  double total = 0;
  for (const Candidate& c : candidates)
    total += std::exp(static_cast<double>(c.logit) - candidates.front().logit);
  double left = u * total;
  for (const Candidate& c : candidates) {
    left -= std::exp(static_cast<double>(c.logit) - candidates.front().logit);
    if (left < 0) return c.id;
  }
  return candidates.back().id;
}

}  // namespace

bool SamplingParameters::plain_greedy() const {
  return greedy() && neutral(*this) && min_tokens == 0 && logprobs < 0;
}

Status check_sampling(const SamplingParameters& p) {
  const auto outside = [](const char* name, double value, const char* range) {
    return usage_error(name, fmt::format("{} is outside {}", value, range));
  };
  if (!(p.temperature >= 0 && p.temperature <= 2))
    return outside("temperature", p.temperature, "[0, 2]");
  if (!(p.top_p > 0 && p.top_p <= 1)) return outside("top_p", p.top_p, "(0, 1]");
  if (p.top_k < -1)
    return outside("top_k", static_cast<double>(p.top_k), "-1, 0 (off) or 1 and more");
  if (!(p.min_p >= 0 && p.min_p <= 1)) return outside("min_p", p.min_p, "[0, 1]");
  if (!(std::abs(p.presence_penalty) <= 2))
    return outside("presence_penalty", p.presence_penalty, "[-2, 2]");
  if (!(std::abs(p.frequency_penalty) <= 2))
    return outside("frequency_penalty", p.frequency_penalty, "[-2, 2]");
  if (!(p.repetition_penalty > 0) || std::isinf(p.repetition_penalty)) {
    return outside("repetition_penalty", p.repetition_penalty, "the positive numbers");
  }
  if (p.min_tokens < 0)
    return outside("min_tokens", static_cast<double>(p.min_tokens), "0 and more");
  if (p.logprobs < -1 || p.logprobs > 1000) return outside("logprobs", p.logprobs, "0 to 1000");
  return {};
}

void TokenCounts::add_prompt(std::span<const TokenId> tokens) {
  for (const TokenId token : tokens) ++prompt_[token];
}

void TokenCounts::remove_output(TokenId token) {
  const auto entry = output_.find(token);
  SLUICE_CHECK(entry != output_.end(), "token {} was not counted", token);
  if (--entry->second == 0) output_.erase(entry);
}

SampledToken report_logprobs(std::span<const float> logits, TokenId id, int top) {
  SampledToken token{id, 0, {}};
  const double normaliser = log_sum_exp(logits);
  const auto logprob = [&](TokenId of) {
    const auto value = static_cast<float>(logits[static_cast<size_t>(of)] - normaliser);
    return std::isfinite(value) ? value : -9999.0f;
  };
  token.logprob = logprob(id);
  if (top <= 0) return token;
  std::vector<TokenId> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<TokenId>(i);
  const auto count = std::min(static_cast<size_t>(top), order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(count), order.end(),
                    [&](TokenId a, TokenId b) {
                      const float x = logits[static_cast<size_t>(a)],
                                  y = logits[static_cast<size_t>(b)];
                      return x != y ? x > y : a < b;
                    });
  for (size_t i = 0; i < count && logits[static_cast<size_t>(order[i])] != kMasked; ++i)
    token.top.push_back({order[i], logprob(order[i])});
  return token;
}

SampledToken sample(std::span<float> logits, const SamplingContext& context) {
  const SamplingParameters& p = *context.parameters;
  // Masks come first, so that log probabilities are those of what was possible (section 6.1).
  forbid_others(logits, context.allowed);
  for (const TokenId id : p.forbidden_ids) {
    if (id >= 0 && static_cast<size_t>(id) < logits.size())
      logits[static_cast<size_t>(id)] = kMasked;
  }
  SampledToken reported;
  if (p.logprobs >= 0) reported = report_logprobs(logits, 0, p.logprobs);
  const double normaliser = p.logprobs >= 0 ? log_sum_exp(logits) : 0;
  std::vector<float> raw;
  if (p.logprobs >= 0) raw.assign(logits.begin(), logits.end());

  if (context.position < static_cast<uint64_t>(p.min_tokens)) {
    for (const TokenId id : context.stop_ids) {
      if (id >= 0 && static_cast<size_t>(id) < logits.size())
        logits[static_cast<size_t>(id)] = kMasked;
    }
  }
  for (const auto& [id, bias] : p.logit_bias) {
    if (id >= 0 && static_cast<size_t>(id) < logits.size()) {
      logits[static_cast<size_t>(id)] += std::clamp(bias, -100.0f, 100.0f);
    }
  }
  apply_penalties(logits, context);

  if (p.greedy()) {
    reported.id = first_maximum(logits);
  } else {
    const std::vector<Candidate> candidates = cut_candidates(logits, p);
    reported.id = candidates.empty()
                      ? first_maximum(logits)
                      : draw(candidates, uniform(p.seed, p.choice, context.position));
  }
  if (p.logprobs >= 0) {
    const auto value = static_cast<float>(raw[static_cast<size_t>(reported.id)] - normaliser);
    reported.logprob = std::isfinite(value) ? value : -9999.0f;
  }
  return reported;
}

}  // namespace sluice::runtime
