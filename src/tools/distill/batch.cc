#include "tools/distill/batch.h"

#include <algorithm>

namespace sluice::distill {
namespace {

torch::Tensor integers(const std::vector<int64_t>& values) {
  return torch::tensor(values, torch::kLong);
}

torch::Tensor reals(const std::vector<double>& values, torch::ScalarType type) {
  return torch::tensor(values, torch::kDouble).to(type);
}

struct StepRows {
  std::vector<int64_t> tokens, labels;
  std::vector<double> positions, weights;
};

double share(float weight, double total) {
  return total > 0 ? static_cast<double>(weight) / total : 0.0;
}

}  // namespace

Batch make_batch(std::span<const Sample* const> samples, int64_t draft_steps,
                 const LossTotals& totals, torch::ScalarType type) {
  std::vector<int64_t> tokens, next_tokens, last, segments, groups, loss_rows, labels;
  std::vector<int64_t> starts, start_groups;
  std::vector<double> positions, weights;
  std::vector<StepRows> steps(static_cast<size_t>(draft_steps));
  for (const Sample* sample : samples) {
    const auto length = static_cast<int64_t>(sample->tokens.size());
    const auto begin = static_cast<int64_t>(tokens.size()), end = begin + length;
    const auto first_start = static_cast<int64_t>(starts.size());
    const auto token = [&](int64_t i) {
      return static_cast<int64_t>(sample->tokens[static_cast<size_t>(std::min(i, length - 1))]);
    };
    const auto weight = [&](int64_t i) {
      return i < length ? sample->weights[static_cast<size_t>(i)] : 0.0f;
    };
    for (int64_t i = 0; i < length; ++i) {
      tokens.push_back(token(i));
      next_tokens.push_back(token(i + 1));
      positions.push_back(static_cast<double>(i));
      last.push_back(begin + i);
      if (weight(i + 1) > 0) {
        loss_rows.push_back(begin + i);
        labels.push_back(token(i + 1));
        weights.push_back(share(weight(i + 1), totals.text));
      }
      if (draft_steps == 0 || weight(i + 2) == 0) continue;
      starts.push_back(begin + i);
      for (int64_t step = 0; step < draft_steps; ++step) {
        StepRows& rows = steps[static_cast<size_t>(step)];
        rows.tokens.push_back(token(i + step + 1));
        rows.labels.push_back(token(i + step + 2));
        rows.positions.push_back(static_cast<double>(i + step));
        rows.weights.push_back(
            share(weight(i + step + 2), totals.draft[static_cast<size_t>(step)]));
      }
    }
    segments.insert(segments.end(), {begin, end});
    groups.insert(groups.end(), {begin, end, begin, end});
    start_groups.insert(start_groups.end(),
                        {first_start, static_cast<int64_t>(starts.size()), begin, end});
  }

  Batch batch;
  batch.tokens = integers(tokens);
  batch.next_tokens = integers(next_tokens);
  batch.positions = reals(positions, torch::kFloat);
  batch.segments = integers(segments).view({-1, 2});
  batch.groups = integers(groups).view({-1, 4});
  batch.last = integers(last);
  batch.loss_rows = integers(loss_rows);
  batch.labels = integers(labels);
  batch.weights = reals(weights, type);
  batch.starts = integers(starts);
  batch.start_groups = integers(start_groups).view({-1, 4});
  for (const StepRows& rows : steps) {
    batch.draft_steps.push_back({integers(rows.tokens), reals(rows.positions, torch::kFloat),
                                 integers(rows.labels), reals(rows.weights, type)});
  }
  return batch;
}

}  // namespace sluice::distill
