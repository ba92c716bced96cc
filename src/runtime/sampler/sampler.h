// From logits to a token (spec/serving-sampling.md sections 6.1 to 6.3 and 6.6).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/sampler/token_mask.h"

namespace sluice::runtime {

struct SamplingParameters {
  double temperature = 1.0;  // below 1e-5: greedy
  double top_p = 1.0;        // (0, 1]
  int64_t top_k = 0;         // 0 or -1: off; ties with the k-th value are kept
  double min_p = 0.0;        // [0, 1]
  double presence_penalty = 0.0, frequency_penalty = 0.0;  // [-2, 2], output only
  double repetition_penalty = 1.0;                         // > 0, prompt and output
  bool penalise_markers = false;  // by the first two; else <tool_call>, </think>, ... are not
  std::vector<std::pair<TokenId, float>> logit_bias = {};  // clamped to +-100
  std::vector<TokenId> forbidden_ids = {};                 // never drawn
  uint64_t seed = 0;
  uint32_t choice = 0;
  int64_t min_tokens = 0;  // stop ids are masked before
  int logprobs = -1;       // top entries to report; -1: none at all

  bool greedy() const { return temperature < 1e-5; }
  // Greedy without anything that could move the maximum or that has to be reported: argmax is
  // enough.
  bool plain_greedy() const;
};

// Ranges of section 6.3; the error names the parameter, the value and the range.
Status check_sampling(const SamplingParameters& parameters);

struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;
};

struct SampledToken {
  TokenId id = 0;
  float logprob = 0;              // behind the masks, before penalties, bias and temperature
  std::vector<TokenLogprob> top;  // descending, ties by id; empty unless asked for
};

// How often each token stands in prompt and output: what penalties look at.
class TokenCounts {
 public:
  void add_prompt(std::span<const TokenId> tokens);
  void add_output(TokenId token) { ++output_[token]; }
  void remove_output(TokenId token);  // undoes one add_output
  bool in_prompt(TokenId token) const { return prompt_.contains(token); }
  const std::unordered_map<TokenId, int>& output() const { return output_; }
  const std::unordered_map<TokenId, int>& prompt() const { return prompt_; }

 private:
  std::unordered_map<TokenId, int> prompt_, output_;
};

// What sampling needs to know beside the logits of one row.
struct SamplingContext {
  const SamplingParameters* parameters = nullptr;
  const TokenCounts* counts = nullptr;     // history up to this row, drafts before it included
  std::span<const uint64_t> allowed = {};  // the grammar's mask; empty: everything
  std::span<const TokenId> stop_ids = {};  // masked while position < min_tokens
  std::span<const TokenId> unpenalised =
      {};                 // markers excluded from presence and frequency, sorted
  uint64_t position = 0;  // output position of the token to draw
};

// Draws the token of one row. `logits` is used as scratch. Pure function of its arguments.
SampledToken sample(std::span<float> logits, const SamplingContext& context);

// Raw log-softmax of one id, and the k largest (section 6.6): what sample() reports, for a token
// that was forced. What a mask has set to minus infinity is not among the largest.
SampledToken report_logprobs(std::span<const float> logits, TokenId id, int top);

}  // namespace sluice::runtime
