#include "runtime/spec/draft_depths.h"

#include <algorithm>

#include "base/log.h"

namespace sluice::runtime {

DraftDepths::DraftDepths(int most, bool adaptive, MillisecondClock clock)
    : most_(most),
      adaptive_(adaptive && most > 0),
      clock_(std::move(clock)),
      shared_(std::max(most, 1), 0.8, 4, 0.99) {}

void DraftDepths::start(Sequence& sequence) {
  if (adaptive_) sequence.depth.emplace(most_, shared_);
}

void DraftDepths::begin_step() {
  if (adaptive_) mark_ = clock_();
}

void DraftDepths::on_verified(const StepPlan& plan) {
  if (!adaptive_) return;
  int64_t rows = 0;
  measured_ = true;
  for (const ScheduledSegment& segment : plan.segments) {
    rows += segment.row_count;
    measured_ = measured_ && segment.answer;
    Sequence& sequence = *segment.sequence;
    const auto proposed = static_cast<int>(segment.row_count - 1);
    // How far the drafts of an answer that has ended would have held is not known.
    if (!segment.answer || sequence.finished || proposed == 0) continue;
    const int held = sequence.commit - 1;
    sequence.depth->on_verified(proposed, held);
    shared_.on_verified(proposed, held);
    health_.on_verified(proposed, held);
  }
  const double now = clock_();
  if (measured_) costs_.on_verified(rows, now - mark_);
  mark_ = now;
  if (health_.newly_dead()) {
    log_warning(
        "the draft head's proposals hardly ever hold ({:.0f} % of late); drafting is off where it "
        "costs time, and is tried again now and then",
        100 * health_.share());
  }
}

void DraftDepths::choose(std::span<KeptRows> kept) {
  if (!adaptive_) {
    for (KeptRows& rows : kept) rows.depth = most_;
    return;
  }
  const auto passes_without = [&](const Sequence* left_out) {
    int passes = 0;
    for (const KeptRows& rows : kept) {
      if (rows.sequence != left_out) passes = std::max(passes, rows.depth);
    }
    return passes;
  };
  Company all;
  for (KeptRows& rows : kept) {
    if (rows.sequence->reading_prompt() || rows.sequence->finished) continue;
    rows.depth = rows.sequence->depth->depth();
    all.rows += 1 + rows.depth;
    all.tokens += rows.sequence->depth->tokens();
  }
  // One after the other, each with what the others have chosen.
  for (KeptRows& rows : kept) {
    if (rows.sequence->reading_prompt() || rows.sequence->finished) continue;
    DepthController& depth = *rows.sequence->depth;
    Company others = all;
    others.rows -= 1 + depth.depth();
    others.tokens -= depth.tokens();
    others.passes = passes_without(rows.sequence);
    rows.depth = depth.choose(costs_, others);
    all.rows = others.rows + 1 + rows.depth;
    all.tokens = others.tokens + depth.tokens();
  }
}

void DraftDepths::on_drafted(std::span<const KeptRows> kept) {
  if (!adaptive_ || !measured_) return;
  int passes = 0;
  for (const KeptRows& rows : kept) passes = std::max(passes, rows.depth);
  costs_.on_drafted(passes, clock_() - mark_);
}

}  // namespace sluice::runtime
