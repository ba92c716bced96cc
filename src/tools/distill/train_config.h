// The one file that says what to train: dimensions, data, schedule (docs/training.md lists the
// keys).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "model/config.h"

namespace sluice::distill {

enum class Precision { kFp32, kBf16 };

struct TrainConfig {
  Json model;  // keys of the published text config, or null with init_from
  std::string init_from;
  std::string tokenizer, output;
  std::vector<std::string> data;

  int64_t steps = 0, warmup_steps = 0;
  int64_t batch_tokens = 8192, shards = 2, max_tokens = 1024;
  double learning_rate = 1e-3, final_learning_rate = 1e-4;
  double weight_decay = 0.1, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, clip = 1.0;
  std::vector<double> draft_weights;  // one per step of the draft head; empty: not trained
  // The draft head is computed and trained in every draft_every-th step from draft_from_step on.
  int64_t draft_from_step = 0, draft_every = 1;
  uint64_t seed = 0;
  double init_deviation = 0.02;
  Precision precision = Precision::kBf16, export_format = Precision::kBf16;
  int64_t log_every = 10, checkpoint_every = 200;
  Json generation;  // copied into generation_config.json; object or null

  int64_t shard_tokens() const { return batch_tokens / shards; }
};

// Relative paths are taken from the folder of `file`. An unknown key is an error that names it and
// the nearest one.
Result<TrainConfig> read_train_config(const std::filesystem::path& file);

// The published text config (config.json) of a new model, from the config's "model" section: what
// is missing is filled in where a default is safe, refused otherwise.
Result<Json> published_config(const Json& model, int64_t tokenizer_size);

}  // namespace sluice::distill
