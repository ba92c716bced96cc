// Which rows go into the next step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/batch.h"
#include "runtime/sequence.h"

namespace sluice::runtime {

// A segment of the batch and the sequence it belongs to, in batch order.
struct ScheduledSegment {
  Sequence* sequence = nullptr;
  int64_t first_row = 0, row_count = 0;
  bool answer =
      false;  // rows are tokens.back() and the drafts after it; else a piece of the prompt
};

struct StepPlan {
  ops::Batch batch;
  std::vector<ScheduledSegment> segments;  // one per batch segment
};

// Answers first, all of them; then prompts until `prompt_rows` rows are taken: by priority, then
// clients in turn, then those with the fewest rows left, where rows that others have read since a
// prompt began count as its own (so that it waits for shorter ones no longer than for its equals).
// A prompt is cut at multiples of ops::kGrid of its own positions only, so that the bits of its
// rows do not depend on the cut; and at the next of the places where its state is to be saved.
StepPlan schedule(std::span<Sequence* const> running, int64_t prompt_rows);

}  // namespace sluice::runtime
