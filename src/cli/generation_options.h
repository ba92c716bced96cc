// Sampling, stopping and thinking as flags, and how absent ones are filled
// (spec/serving-sampling.md 6.4).
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "cli/console.h"
#include "cli/session.h"
#include "runtime/engine.h"

namespace sluice::cli {

struct GenerationOptions {
  std::optional<double> temperature, top_p, min_p, presence_penalty, frequency_penalty,
      repetition_penalty;
  std::optional<int64_t> top_k, max_tokens, min_tokens;
  std::optional<int64_t> seed;          // absent or -1: random
  std::vector<std::string> logit_bias;  // ID:BIAS
  std::vector<std::string> stop;
  std::vector<int32_t> stop_ids;
  bool ignore_eos = false;
  std::optional<int> logprobs;
  // Thinking budget and loop breaker (spec/serving-reasoning.md 2.6).
  std::optional<int64_t> reasoning_budget;
  std::string reasoning_budget_message = "\n";
  int64_t reserve_answer_tokens = 0;
  bool no_loop_breaker = false;
  runtime::LoopThresholds loop;

  void declare(CLI::App& app);

  // Takes what a JSONL line sets ("max_tokens", "temperature", ...) over the flags; an unknown or
  // ill-typed field is an error naming it.
  Status override_with(const Json& line);

  // A request without its prompt: flags, then the model's generation_config, then 1.0 / 1.0 / off.
  Result<runtime::Request> request(const ModelFiles& files, const model::TextConfig& config) const;
};

// Says once that a thinking model is run greedily (serving-sampling.md 6.5).
void warn_if_greedy_thinking(const Console& console, const runtime::Request& request,
                             const ModelFiles& files);

}  // namespace sluice::cli
