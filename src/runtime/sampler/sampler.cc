#include "runtime/sampler/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "runtime/sampler/candidates.h"
#include "runtime/sampler/random.h"

namespace sluice::runtime {
namespace {

bool neutral(const SamplingParameters& p) {
  return p.presence_penalty == 0 && p.frequency_penalty == 0 && p.repetition_penalty == 1 &&
         p.logit_bias.empty() && p.forbidden_ids.empty();
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

float reported_logprob(float logit, double normaliser) {
  const auto value = static_cast<float>(logit - normaliser);
  return std::isfinite(value) ? value : -9999.0f;
}

std::vector<TokenLogprob> top_logprobs(const LogitRow& row, int count, double normaliser) {
  std::vector<TokenLogprob> top;
  for (const Candidate& candidate : row.largest(count))
    top.push_back({candidate.id, reported_logprob(candidate.logit, normaliser)});
  return top;
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
  const LogitRow row(logits);
  const double normaliser = row.log_sum_exp();
  return {id, reported_logprob(logits[static_cast<size_t>(id)], normaliser),
          top_logprobs(row, top, normaliser)};
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
  double normaliser = 0;
  std::vector<float> raw;
  if (p.logprobs >= 0) {
    const LogitRow row(logits);
    normaliser = row.log_sum_exp();
    reported.top = top_logprobs(row, p.logprobs, normaliser);
    raw.assign(logits.begin(), logits.end());
  }

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

  const LogitRow row(logits);
  reported.id = p.greedy() || row.empty()
                    ? row.maximum()
                    : row.draw(p, uniform(p.seed, p.choice, context.position));
  if (p.logprobs >= 0)
    reported.logprob = reported_logprob(raw[static_cast<size_t>(reported.id)], normaliser);
  return reported;
}

}  // namespace sluice::runtime
