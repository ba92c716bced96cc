#include "runtime/scheduler/scheduler.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

namespace sluice::runtime {
namespace {

void add_row(ops::Batch& batch, int32_t segment, TokenId token, int64_t index) {
  const auto position = static_cast<int32_t>(index);
  batch.rows.push_back({token, segment, position, {position, position, position}});
}

ops::Segment begin_segment(ops::Batch& batch, const Sequence& sequence, ops::Role role) {
  ops::Segment segment;
  segment.first_row = static_cast<int32_t>(batch.rows.size());
  segment.first_index = static_cast<int32_t>(sequence.processed);
  segment.slot = sequence.slot;
  segment.commit = sequence.commit;
  segment.role = role;
  segment.first_page = static_cast<int32_t>(batch.pages.size());
  segment.page_count = static_cast<int32_t>(sequence.pages.size());
  batch.pages.insert(batch.pages.end(), sequence.pages.begin(), sequence.pages.end());
  return segment;
}

void end_segment(StepPlan& plan, ops::Segment segment, Sequence* sequence) {
  segment.row_count = static_cast<int32_t>(plan.batch.rows.size()) - segment.first_row;
  plan.batch.segments.push_back(segment);
  plan.segments.push_back(
      {sequence, segment.first_row, segment.row_count, segment.role == ops::Role::kAnswer});
}

// Those whose prompts are being read, the most urgent first.
std::vector<Sequence*> readers_in_turn(std::span<Sequence* const> running) {
  std::vector<Sequence*> readers;
  std::map<std::string_view, int64_t> last_read;  // by client
  for (Sequence* sequence : running) {
    int64_t& last = last_read[sequence->request.client];
    last = std::max(last, sequence->last_read);
    if (sequence->reading_prompt()) readers.push_back(sequence);
  }
  const auto urgency = [&](const Sequence* sequence) {
    const int64_t left = sequence->prompt_length - sequence->processed;
    return std::tuple(sequence->request.priority, last_read[sequence->request.client],
                      sequence->rows_before + left);
  };
  std::stable_sort(readers.begin(), readers.end(),
                   [&](const Sequence* a, const Sequence* b) { return urgency(a) < urgency(b); });
  return readers;
}

}  // namespace

StepPlan schedule(std::span<Sequence* const> running, int64_t prompt_rows) {
  StepPlan plan;
  const auto next_segment = [&] { return static_cast<int32_t>(plan.batch.segments.size()); };
  for (Sequence* sequence : running) {
    if (sequence->reading_prompt()) continue;
    const ops::Segment segment = begin_segment(plan.batch, *sequence, ops::Role::kAnswer);
    int64_t index = sequence->processed;
    add_row(plan.batch, next_segment(), sequence->tokens.back(), index);
    for (const TokenId draft : sequence->drafts)
      add_row(plan.batch, next_segment(), draft, ++index);
    end_segment(plan, segment, sequence);
  }
  int64_t left = prompt_rows;
  for (Sequence* sequence : readers_in_turn(running)) {
    int64_t end = std::min(sequence->prompt_length, sequence->processed + left);
    if (end < sequence->prompt_length) end = end / ops::kGrid * ops::kGrid;
    if (!sequence->places.empty()) end = std::min(end, sequence->places.front());
    if (end <= sequence->processed) continue;
    const ops::Segment segment = begin_segment(plan.batch, *sequence, ops::Role::kPrompt);
    for (int64_t index = sequence->processed; index < end; ++index) {
      add_row(plan.batch, next_segment(), sequence->tokens[static_cast<size_t>(index)], index);
    }
    left -= end - sequence->processed;
    end_segment(plan, segment, sequence);
  }
  return plan;
}

}  // namespace sluice::runtime
