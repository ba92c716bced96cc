// Samples laid side by side as the network reads them: no padding, no masks.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "tools/distill/functions.h"
#include "tools/distill/sample.h"

namespace sluice::distill {

struct Batch {
  torch::Tensor tokens;     // int64 [rows]
  torch::Tensor positions;  // float [rows], from 0 in each sample
  Segments segments;
  torch::Tensor groups, last;  // of plain causal attention: every row over its own sample's past

  // Rows whose next token is a label.
  torch::Tensor loss_rows, labels, weights;

  // Draft head: the token after each row (slot p is fed with token p + 1; a sample's last slot with
  // its own token, and nothing reads that slot).
  torch::Tensor next_tokens;
  // Chains, one per start: the slot it starts from, and the attention groups of the starts.
  torch::Tensor starts, start_groups;
  struct DraftStep {
    torch::Tensor tokens;     // int64 [starts]: what the step is fed with (not used by step 0)
    torch::Tensor positions;  // float [starts]
    torch::Tensor labels, weights;
  };
  std::vector<DraftStep> draft_steps;
};

// Label weights are divided by `totals`, so that the losses of several batches add up to those of
// the step. `type`: kFloat, or kDouble for tests.
Batch make_batch(std::span<const Sample* const> samples, int64_t draft_steps,
                 const LossTotals& totals, torch::ScalarType type = torch::kFloat);

}  // namespace sluice::distill
