#include "runtime/spec/mtp_drafter.h"

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace sluice::runtime {
namespace {

// Adds the head's rows for slots [first_slot, first_slot + tokens.size()): cache index slot + 1,
// rotary position slot.
void add_segment(ops::Batch& batch, const Sequence& sequence, int64_t first_slot,
                 std::span<const TokenId> tokens, ops::Role role) {
  ops::Segment segment;
  segment.first_row = static_cast<int32_t>(batch.rows.size());
  segment.row_count = static_cast<int32_t>(tokens.size());
  segment.first_index = static_cast<int32_t>(first_slot + 1);
  segment.slot = sequence.slot;
  segment.role = role;
  segment.first_page = static_cast<int32_t>(batch.pages.size());
  segment.page_count = static_cast<int32_t>(sequence.pages.size());
  batch.pages.insert(batch.pages.end(), sequence.pages.begin(), sequence.pages.end());
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto slot = static_cast<int32_t>(first_slot + static_cast<int64_t>(i));
    batch.rows.push_back(
        {tokens[i], static_cast<int32_t>(batch.segments.size()), slot + 1, {slot, slot, slot}});
  }
  batch.segments.push_back(segment);
}

}  // namespace

// A sequence that is being drafted for, and the row of the head's last output that continues it.
struct MtpDrafter::Open {
  Sequence* sequence;
  int32_t row;
  int wanted;
  size_t mask_position;  // where its mask stands without the drafts

  // Takes the proposal (-1: there is none); whether another one is wanted.
  bool take(TokenId proposal) {
    TokenMask* mask = sequence->mask.get();
    const bool good = proposal >= 0 && (mask == nullptr || mask->accept(proposal));
    if (good) sequence->drafts.push_back(proposal);
    const bool more = good && static_cast<int>(sequence->drafts.size()) < wanted &&
                      (mask == nullptr || !mask->complete());
    if (!more && mask != nullptr) mask->rollback(mask_position);
    return more;
  }
};

Result<std::unique_ptr<MtpDrafter>> MtpDrafter::create(const model::TextModel& model,
                                                       int64_t max_rows, int64_t draft_rows) {
  SLUICE_CHECK(model.mtp() != nullptr, "the model has no draft head");
  std::unique_ptr<MtpDrafter> drafter(new MtpDrafter());
  drafter->model_ = &model;
  drafter->vocabulary_.emplace(model.config().vocabulary, model.head_share(), draft_rows);
  const int64_t hidden = model.config().hidden;
  SLUICE_ASSIGN(drafter->buffer_,
                model.backend().allocate(static_cast<size_t>(max_rows * hidden) * sizeof(float)));
  drafter->rows_ = {drafter->buffer_.get(), 0, max_rows, hidden, hidden};
  drafter->allowed_.resize(mask_words(static_cast<size_t>(model.config().vocabulary)));
  return drafter;
}

void MtpDrafter::fill_row(const Sequence& sequence, const ops::View& hidden, ops::KvCache& cache,
                          model::Workspace& workspace) {
  ops::Batch batch;
  const auto next = std::span(sequence.tokens).subspan(static_cast<size_t>(sequence.processed), 1);
  add_segment(batch, sequence, sequence.processed - 1, next, ops::Role::kPrompt);
  model_->mtp()->forward(batch, hidden, cache, workspace);
}

void MtpDrafter::propose(std::span<const KeptRows> kept, const ops::View& hidden,
                         ops::KvCache& cache, model::Workspace& workspace) {
  if (kept.empty()) return;
  ops::Backend& backend = model_->backend();
  ops::Batch batch;
  std::vector<int32_t> sources;
  std::vector<Open> open;
  for (const KeptRows& rows : kept) {
    const Sequence& sequence = *rows.sequence;
    const auto next =
        std::span(sequence.tokens)
            .subspan(static_cast<size_t>(rows.first_index + 1), static_cast<size_t>(rows.count));
    add_segment(batch, sequence, rows.first_index, next,
                rows.answer ? ops::Role::kAnswer : ops::Role::kPrompt);
    for (int64_t i = 0; i < rows.count; ++i)
      sources.push_back(static_cast<int32_t>(rows.first_row + i));
    // A verification of k drafts can yield k + 1 tokens: propose no more than can still be used.
    const int wanted = static_cast<int>(std::min<int64_t>(rows.depth, sequence.tokens_left() - 1));
    if (!sequence.reading_prompt() && !sequence.finished && wanted > 0) {
      open.push_back({rows.sequence, static_cast<int32_t>(batch.row_count() - 1), wanted,
                      sequence.mask ? sequence.mask->position() : 0});
    }
  }
  const ops::View gathered = rows_.first_rows(batch.row_count());
  backend.gather_rows({.x = hidden, .rows = sources, .out = gathered});
  ops::View m = model_->mtp()->forward(batch, gathered, cache, workspace);

  while (!open.empty()) {
    const std::vector<TokenId> proposals = choose(open, m, workspace);
    // The next recursive step: slot n + j holds (m of the step before, the token just proposed).
    ops::Batch next;
    std::vector<int32_t> rows;
    std::vector<Open> still_open;
    for (size_t i = 0; i < open.size(); ++i) {
      if (!open[i].take(proposals[i])) continue;
      Sequence& sequence = *open[i].sequence;
      const auto drafted = static_cast<int64_t>(sequence.drafts.size());
      const int64_t slot = static_cast<int64_t>(sequence.tokens.size()) - 2 + drafted;
      add_segment(next, sequence, slot, std::span(&proposals[i], 1), ops::Role::kAnswer);
      rows.push_back(open[i].row);
      still_open.push_back({&sequence, static_cast<int32_t>(next.row_count() - 1), open[i].wanted,
                            open[i].mask_position});
    }
    open = std::move(still_open);
    if (open.empty()) return;
    const ops::View previous = rows_.first_rows(next.row_count());
    backend.gather_rows({.x = m, .rows = rows, .out = previous});
    m = model_->mtp()->forward(next, previous, cache, workspace);
  }
}

// The head's most likely token for each sequence, of those of the draft vocabulary that its mask
// allows; -1 if there is none.
std::vector<TokenId> MtpDrafter::choose(std::span<const Open> open, const ops::View& m,
                                        model::Workspace& workspace) {
  std::vector<TokenId> chosen(open.size());
  const auto most = static_cast<size_t>(workspace.max_logit_rows());
  for (size_t begin = 0; begin < open.size(); begin += most) {
    const size_t count = std::min(most, open.size() - begin);
    std::vector<int32_t> rows;
    for (size_t i = begin; i < begin + count; ++i) rows.push_back(open[i].row);
    const std::span<const ops::Range> among = vocabulary_->ranges();
    const ops::View logits = model_->mtp()->logits(m, rows, workspace, among);
    model_->backend().argmax(
        {.logits = logits, .tokens = std::span(chosen).subspan(begin, count), .among = among});
    for (size_t i = begin; i < begin + count; ++i) {
      TokenMask* mask = open[i].sequence->mask.get();
      if (mask == nullptr || !mask->binds()) continue;
      mask->fill(allowed_);
      // Mostly the head knows the grammar, and its logits need not be looked at.
      if (allows(allowed_, chosen[i])) continue;
      chosen[i] = best_allowed(logits.row_range(static_cast<int64_t>(i - begin), 1));
    }
  }
  return chosen;
}

TokenId MtpDrafter::best_allowed(const ops::View& logits) {
  if (!allows_any(allowed_)) return -1;
  const std::vector<float> values = model_->backend().download(logits);
  const ops::Range all{0, logits.columns};
  const std::span<const ops::Range> among = vocabulary_->ranges();
  TokenId best = -1;
  for (const ops::Range& range : among.empty() ? std::span(&all, 1) : among) {
    for (auto id = static_cast<TokenId>(range.first); id < range.end; ++id) {
      if (!allows(allowed_, id)) continue;
      if (best < 0 || values[static_cast<size_t>(id)] > values[static_cast<size_t>(best)])
        best = id;
    }
  }
  return best;
}

}  // namespace sluice::runtime
