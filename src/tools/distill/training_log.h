// What a run reports: a JSON line per entry, and a plot of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::distill {

// Means over the steps since the entry before.
struct LogEntry {
  int64_t step = 0, tokens = 0;  // done so far
  double loss = 0, accuracy = 0;
  std::vector<double> draft_loss, draft_accuracy;  // per step of the draft head
  double learning_rate = 0, gradient_norm = 0, tokens_per_second = 0;
};

class TrainingLog {
 public:
  // Keeps the entries of an existing file up to `step`; a resumed run writes what follows again.
  static Result<TrainingLog> open(const std::filesystem::path& file, int64_t step);

  Status add(const LogEntry& entry);
  const std::vector<LogEntry>& entries() const { return entries_; }

 private:
  std::filesystem::path file_;
  std::vector<LogEntry> entries_;
};

// Losses over steps as an SVG picture, one line for the text and one per draft step.
std::string loss_plot(const std::vector<LogEntry>& entries);

}  // namespace sluice::distill
