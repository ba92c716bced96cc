#include "runtime/scheduler/prompt_pace.h"

#include <algorithm>
#include <limits>

#include "ops/batch.h"

namespace sluice::runtime {
namespace {

void follow(double& average, double sample) {
  constexpr double kNew = 0.2;
  average = average == 0 ? sample : average + kNew * (sample - average);
}

}  // namespace

PromptPace::PromptPace(int64_t most_rows, bool keep) : most_rows_(most_rows), keep_(keep) {}

int64_t PromptPace::rows(bool answers_running) const {
  if (!keep_ || !answers_running) return most_rows_;
  if (owed_ms_ > 0) return 0;
  // The first beside answers are as few as can be.
  if (answers_ms_ == 0 || row_ms_ == 0) return std::min<int64_t>(ops::kGrid, most_rows_);
  const double worth = kPromptShare * answers_ms_ / row_ms_;
  const auto grids = static_cast<int64_t>(std::min(worth, static_cast<double>(most_rows_)) /
                                          static_cast<double>(ops::kGrid));
  return std::clamp<int64_t>(grids * ops::kGrid, ops::kGrid, most_rows_);
}

double PromptPace::fetch_ms(bool answers_running) const {
  if (!keep_ || !answers_running) return std::numeric_limits<double>::infinity();
  return owed_ms_ > 0 ? 0 : kPromptShare * answers_ms_;
}

// A prompt's last few rows cost what the weights cost to read, which says nothing about a row.
void PromptPace::note_reading(int64_t rows, double ms) {
  if (rows >= ops::kGrid) follow(row_ms_, ms / static_cast<double>(rows));
}

void PromptPace::on_step(bool answers_running, int64_t prompt_rows, double ms) {
  if (!keep_) return;
  if (!answers_running) {
    owed_ms_ = 0;
    note_reading(prompt_rows, ms);
    return;
  }
  if (prompt_rows == 0) {
    follow(answers_ms_, ms);
    owed_ms_ = std::max(0.0, owed_ms_ - kPromptShare * ms);
    return;
  }
  // Without a step of answers alone to compare with, the whole step counts as the prompt's.
  const double reading = std::max(0.0, ms - answers_ms_);
  note_reading(prompt_rows, reading);
  owed_ms_ = std::max(0.0, owed_ms_ + reading - kPromptShare * answers_ms_);
}

}  // namespace sluice::runtime
