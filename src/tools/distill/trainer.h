// A training run from its config to exported weights.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>

#include "base/result.h"
#include "tools/distill/train_config.h"
#include "tools/distill/training_log.h"

namespace sluice::distill {

struct RunOptions {
  bool resume = false;
  int threads = 1;
  int64_t until = std::numeric_limits<int64_t>::max();  // stop when this many steps are done
  double minutes = std::numeric_limits<double>::infinity();
  const std::atomic<int>* stop = nullptr;  // set by a signal: finish the step, save, leave
  // Called with each log entry and the seconds left at the present speed, and with notes.
  std::function<void(const LogEntry&, double)> progress;
  std::function<void(const std::string&)> note;
};

struct RunSummary {
  int64_t steps = 0;      // done, of all runs that led here
  bool finished = false;  // false: stopped early, --resume goes on
  std::filesystem::path model;
};

// Trains until the config's last step or what `options` says. The state is saved, and the model
// exported, every checkpoint_every steps and at the end: OUTPUT/training/{state.safetensors,
// log.jsonl, loss.svg}, and the model in OUTPUT itself.
//
// The result is a function of config and data, bit for bit: shards are summed in their order,
// whichever thread computed them.
Result<RunSummary> run_training(const TrainConfig& config, const RunOptions& options);

}  // namespace sluice::distill
