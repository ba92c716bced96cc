// The sweep behind `sluice bench`: prompts, answers by number of rows, drafts and context, each
// repetition between two samples of what the machine can do, and all of them in turn.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/binding.h"
#include "model/text/text_model.h"
#include "tools/bench/bench_backend.h"
#include "tools/bench/lane.h"
#include "tools/bench/machine_floor.h"
#include "tools/bench/step_cost.h"

namespace sluice::tools {

struct PeerOptions {
  std::vector<std::string> words;
  // What stands before the peer's own tokens a second in its output; empty: not read.
  std::string prompt_marker, decode_marker;
  double timeout_seconds = 600;
};

struct BenchOptions {
  std::vector<int64_t> prompts = {512};
  std::vector<int64_t> rows = {1, 2, 4, 8, 16};
  std::vector<int64_t> drafts = {1, 2, 3};  // of one answer
  // Rows of the output head behind the drafts, each a figure of its own: of the first ids; 0: all.
  std::vector<int64_t> draft_heads = {0};
  std::vector<int64_t> contexts = {1024, 8192, 32768};  // of one answer
  int64_t steps = 8;                                    // timed in a repetition of an answer
  int64_t repeat = 5;                                   // repetitions, at most
  double seconds = 120;                                 // after which nothing new is begun
  ops::KvFormat kv = ops::KvFormat::kBF16;
  int64_t floor_bytes = MachineFloor::default_bytes();  // of the buffer that is read
  std::optional<PeerOptions> peer;
  Interrupted interrupted;
  std::function<void(const std::string&)> progress;
};

struct Spread {
  double median = 0, min = 0, max = 0;
};
Spread spread_of(std::vector<double> values);  // not empty

struct Figure {
  enum class Kind : uint8_t { kPrompt, kRows, kDrafts, kContext };
  Kind kind = Kind::kPrompt;
  int64_t rows = 1, drafts = 0;
  int64_t draft_head = 0;  // as in BenchOptions::draft_heads
  int64_t context = 0;     // tokens before the timed ones; for a prompt: its length
  int64_t repetitions = 0;
  Spread tokens_per_second, milliseconds;  // milliseconds of a step, or of the whole prompt
  StepCost cost;
  Spread floor_tokens_per_second, share;  // share: of the floor of the same repetition
  Spread fp32_share;  // products a second, of the fp32 peak of the same repetition
  std::vector<int64_t> proposed, accepted;  // drafts, by position

  std::string name() const;  // "prompt of 512", "answer, 4 rows", ...
};

// Where the time of a step or a prompt went, in shares of the whole; the largest first.
struct TimeShares {
  std::string name;
  std::vector<std::pair<std::string, double>> shares;
};

struct PeerFigure {
  std::string name;  // "whole run", "prompt", "answer"
  Spread ours, theirs;
  double ratio = 0;  // of the medians; above 1: ours is faster
};

struct BenchResult {
  int64_t memory_tokens = 0;                     // of the prompt that was read for the peak
  uint64_t planned_memory = 0, peak_memory = 0;  // before the sweep
  ModelCounts counts;
  Spread read, update, fp32, int16, int8, barrier;  // as in MachineSpeed
  std::vector<Figure> figures;
  std::vector<TimeShares> times;
  std::vector<PeerFigure> peer;
  std::vector<std::string> left_out;  // what was asked for and not measured, with the reason
};

struct BenchModel {
  const model::Binding& binding;
  const model::TextModel& model;
  BenchBackend& backend;  // the model's
  double load_seconds = 0;
  runtime::EngineShape shape;  // what the model was loaded and planned for
  uint64_t planned_memory = 0;
  std::function<uint64_t()> peak_memory;  // since before it was loaded
};

// One short prompt: what a bench loads the model for, and compares the plan with.
runtime::EngineShape memory_shape(const model::TextConfig& config, ops::KvFormat kv);

// A shape that reads the longest of the prompts.
runtime::EngineShape prompt_shape(const std::vector<int64_t>& prompts, ops::KvFormat kv);

// Errors: none of the sweep fits the model's context or the memory; the peer's; interrupted.
Result<BenchResult> run_bench(const BenchModel& model, const BenchOptions& options);

}  // namespace sluice::tools
