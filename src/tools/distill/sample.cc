#include "tools/distill/sample.h"

namespace sluice::distill {

LossTotals loss_totals(std::span<const Sample* const> samples, int64_t draft_steps) {
  LossTotals totals;
  totals.draft.resize(static_cast<size_t>(draft_steps));
  for (const Sample* sample : samples) {
    const std::vector<float>& weights = sample->weights;
    const auto length = static_cast<int64_t>(weights.size());
    for (int64_t label = 1; label < length; ++label) {
      totals.text += static_cast<double>(weights[static_cast<size_t>(label)]);
    }
    // A chain starts where its first label counts; its later labels count as far as the sample
    // goes.
    for (int64_t start = 0; start + 2 < length; ++start) {
      if (weights[static_cast<size_t>(start + 2)] == 0.0f) continue;
      for (int64_t step = 0; step < draft_steps && start + step + 2 < length; ++step) {
        totals.draft[static_cast<size_t>(step)] +=
            static_cast<double>(weights[static_cast<size_t>(start + step + 2)]);
      }
    }
  }
  return totals;
}

}  // namespace sluice::distill
