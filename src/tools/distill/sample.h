// Tokenised training samples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::distill {

// Tokens of one conversation or text, and how much each counts as a label; 0 for what the model is
// given (prompt, tool results). The first token is never a label.
struct Sample {
  std::vector<int32_t> tokens;
  std::vector<float> weights;  // one per token
};

// What the losses of one step are divided by: sums of label weights, for the text model and for
// each step of the draft head (step s at slot p predicts token p + s + 2).
struct LossTotals {
  double text = 0;
  std::vector<double> draft;
};
LossTotals loss_totals(std::span<const Sample* const> samples, int64_t draft_steps);

}  // namespace sluice::distill
