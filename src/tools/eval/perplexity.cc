#include "tools/eval/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "model/mtp/mtp_head.h"

namespace sluice::tools {
namespace {

constexpr int64_t kRows = 512;
constexpr int64_t kLogitRows = 16;

void to_log_probabilities(std::span<float> logits) {
  const float maximum = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float value : logits) sum += std::exp(static_cast<double>(value) - maximum);
  const double normaliser = maximum + std::log(sum);
  for (float& value : logits) value = static_cast<float>(value - normaliser);
}

int32_t first_maximum(std::span<const float> values) {
  return static_cast<int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

Result<WindowPlan> cut_windows(std::span<const int32_t> tokens, int64_t context,
                               ScoredRows scored) {
  if (context < 2)
    return usage_error("--context", fmt::format("{} tokens, at least 2 are needed", context));
  WindowPlan plan;
  plan.context = context;
  plan.first_scored = scored == ScoredRows::kSecondHalf ? context / 2 : 0;
  const auto size = static_cast<int64_t>(tokens.size());
  for (int64_t begin = 0; begin < size; begin += context) {
    const int64_t length = std::min(context, size - begin);
    const bool usable = scored == ScoredRows::kAll ? length >= 2 : length == context;
    if (usable)
      plan.windows.push_back(
          tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(length)));
  }
  if (plan.windows.empty()) {
    return usage_error("text",
                       fmt::format("its {} tokens do not fill one window of {}", size, context),
                       "Lower --context or give more text");
  }
  return plan;
}

struct WindowRunner::State {
  const model::TextModel* model = nullptr;
  std::unique_ptr<ops::KvCache> cache;
  std::unique_ptr<ops::RecurrentState> recurrent;
  std::unique_ptr<model::Workspace> workspace;
  std::unique_ptr<ops::DeviceBuffer> hidden_buffer;
  ops::View hidden;  // [context, H], kept for the draft head
  std::vector<int32_t> pages;
  int mtp_depth = 0;
  std::vector<int64_t> proposed, accepted;

  // The window in work.
  std::span<const int32_t> window;
  int64_t first_scored = 0;
  int64_t piece_begin = 0, read = 0;  // tokens [piece_begin, read) are in piece_hidden
  int64_t next_row = 0;
  ops::View piece_hidden;
  std::vector<int32_t> choices;  // the model's greedy choice after each scored position

  void read_piece();
  ops::View draft_row(int32_t token, int64_t position, const ops::View& before);
  void draft();
};

WindowRunner::WindowRunner() : state_(std::make_unique<State>()) {}
WindowRunner::~WindowRunner() = default;
const std::vector<int64_t>& WindowRunner::drafts_proposed() const { return state_->proposed; }
const std::vector<int64_t>& WindowRunner::drafts_accepted() const { return state_->accepted; }

Result<std::unique_ptr<WindowRunner>> WindowRunner::create(const model::TextModel& model,
                                                           int64_t context, ops::KvFormat kv,
                                                           int mtp_depth) {
  std::unique_ptr<WindowRunner> runner(new WindowRunner());
  State& state = *runner->state_;
  ops::Backend& backend = model.backend();
  state.model = &model;
  state.mtp_depth = model.mtp() != nullptr ? mtp_depth : 0;
  state.proposed.assign(static_cast<size_t>(state.mtp_depth), 0);
  state.accepted = state.proposed;
  // Recursive drafts of the last slots reach beyond the window.
  const int64_t pages = (context + state.mtp_depth + ops::kGrid) / ops::kGrid;
  for (int64_t page = 0; page < pages; ++page) state.pages.push_back(static_cast<int32_t>(page));
  SLUICE_ASSIGN(state.cache, backend.create_kv_cache(model.kv_spec(pages, kv)));
  SLUICE_ASSIGN(state.recurrent, backend.create_recurrent_state(model.recurrent_spec(1, 1)));
  SLUICE_ASSIGN(state.workspace, model::Workspace::create(model.config(), backend,
                                                          std::min(context, kRows), kLogitRows));
  if (state.mtp_depth > 0) {
    const int64_t width = model.config().hidden;
    SLUICE_ASSIGN(state.hidden_buffer,
                  backend.allocate(static_cast<size_t>(context * width) * sizeof(float)));
    state.hidden = {state.hidden_buffer.get(), 0, context, width, width};
  }
  return runner;
}

uint64_t WindowRunner::bytes_beside_plan(const model::TextConfig& config, int64_t context,
                                         int mtp_depth) {
  const int64_t logits = 2 * kLogitRows * config.vocabulary;  // where they are made, and in Rows
  const int64_t hidden = mtp_depth > 0 ? context * config.hidden : 0;
  return static_cast<uint64_t>(logits + hidden) * sizeof(float);
}

void WindowRunner::begin(std::span<const int32_t> window, int64_t first_scored) {
  State& state = *state_;
  state.window = window;
  state.first_scored = first_scored;
  state.read = 0;
  state.next_row = first_scored;
  state.choices.assign(window.size(), -1);
  state.model->backend().reset_slot(*state.recurrent, 0);
}

bool WindowRunner::next(Rows& rows) {
  State& state = *state_;
  const int64_t last_row = static_cast<int64_t>(state.window.size()) - 1;  // has no next token
  if (state.next_row >= last_row) {
    if (state.mtp_depth > 0) state.draft();
    return false;
  }
  while (state.next_row >= state.read) state.read_piece();
  const int64_t first = state.next_row;
  const int64_t last = std::min({first + kLogitRows, state.read, last_row});
  std::vector<int32_t> indices(static_cast<size_t>(last - first));
  std::iota(indices.begin(), indices.end(), static_cast<int32_t>(first - state.piece_begin));
  rows.first_position = first;
  rows.count = last - first;
  rows.log_probabilities = state.model->backend().download(
      state.model->logits(state.piece_hidden, indices, *state.workspace));
  const auto vocabulary = static_cast<size_t>(state.model->config().vocabulary);
  for (int64_t i = 0; i < rows.count; ++i) {
    const auto row =
        std::span(rows.log_probabilities).subspan(static_cast<size_t>(i) * vocabulary, vocabulary);
    state.choices[static_cast<size_t>(first + i)] = first_maximum(row);
    to_log_probabilities(row);
  }
  state.next_row = last;
  return true;
}

// Reads the next piece of the window by the prompt's rule.
void WindowRunner::State::read_piece() {
  ops::Backend& backend = model->backend();
  const int64_t end = std::min(read + kRows, static_cast<int64_t>(window.size()));
  const auto part = window.subspan(static_cast<size_t>(read), static_cast<size_t>(end - read));
  piece_hidden = model->forward(ops::one_sequence(part, read, read, pages, ops::Role::kPrompt),
                                *cache, *recurrent, *workspace);
  if (mtp_depth > 0) {
    std::vector<int32_t> all(static_cast<size_t>(end - read));
    std::iota(all.begin(), all.end(), 0);
    backend.gather_rows(
        {.x = piece_hidden, .rows = all, .out = hidden.row_range(read, end - read)});
  }
  piece_begin = read;
  read = end;
}

// The draft head's row `position`: the token behind it, on the hidden state `before`.
ops::View WindowRunner::State::draft_row(int32_t token, int64_t position, const ops::View& before) {
  const ops::Batch batch =
      ops::one_sequence({&token, 1}, position + 1, position, pages, ops::Role::kAnswer);
  return model->mtp()->forward(batch, before, *cache, *workspace);
}

// Slot by slot, because each slot's recursive rows overwrite the cache rows that the next slots
// will fill again.
void WindowRunner::State::draft() {
  ops::Backend& backend = model->backend();
  const auto length = static_cast<int64_t>(window.size());
  const int32_t row0[] = {0};
  for (int64_t slot = 0; slot + 2 < length; ++slot) {
    ops::View m = draft_row(window[static_cast<size_t>(slot + 1)], slot, hidden.row_range(slot, 1));
    bool chain = slot + 1 >= first_scored;
    for (int64_t j = 0; j < mtp_depth && chain && slot + 1 + j < length - 1; ++j) {
      int32_t token[1];
      backend.argmax({.logits = model->logits(m, row0, *workspace), .tokens = token});
      ++proposed[static_cast<size_t>(j)];
      chain = token[0] == choices[static_cast<size_t>(slot + 1 + j)];
      if (!chain) break;
      ++accepted[static_cast<size_t>(j)];
      if (j + 1 < mtp_depth) {
        m = draft_row(token[0], slot + 1 + j, m);
      }
    }
  }
}

void PerplexitySum::add(double nll) {
  ++count_;
  sum_ += nll;
  squares_ += nll * nll;
}

Perplexity PerplexitySum::result() const {
  Perplexity result;
  result.tokens = count_;
  if (count_ == 0) return result;
  const auto count = static_cast<double>(count_);
  result.nll = sum_ / count;
  result.ppl = std::exp(result.nll);
  const double variance = squares_ / count - result.nll * result.nll;
  if (count_ > 1 && variance > 0)
    result.ppl_stderr = std::sqrt(variance / (count - 1)) * result.ppl;
  return result;
}

void DivergenceSum::add(std::span<const float> base, std::span<const float> ours, int32_t token) {
  SLUICE_CHECK(base.size() == ours.size(), "vocabularies of {} and {}", base.size(), ours.size());
  double divergence = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    divergence += std::exp(static_cast<double>(base[i])) * (static_cast<double>(base[i]) - ours[i]);
  }
  values_.push_back(divergence);
  same_top_ += first_maximum(base) == first_maximum(ours) ? 1 : 0;
  const auto at = static_cast<size_t>(token);
  const double difference =
      std::exp(static_cast<double>(ours[at])) - std::exp(static_cast<double>(base[at]));
  squared_dp_ += difference * difference;
}

Divergence DivergenceSum::result() const {
  Divergence result;
  if (values_.empty()) return result;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<double>(sorted.size());
  const auto quantile = [&](double share) {
    return sorted[static_cast<size_t>(std::min(share * count, count - 1))];
  };
  double squares = 0;
  for (const double value : sorted) {
    result.mean += value / count;
    squares += value * value / count;
  }
  const double variance = squares - result.mean * result.mean;
  if (sorted.size() > 1 && variance > 0) result.standard_error = std::sqrt(variance / (count - 1));
  result.median = quantile(0.5);
  result.p99 = quantile(0.99);
  result.p99_9 = quantile(0.999);
  result.maximum = sorted.back();
  result.same_top = static_cast<double>(same_top_) / count;
  result.rms_dp = std::sqrt(squared_dp_ / count);
  return result;
}

}  // namespace sluice::tools
