// What stands behind runtime::Engine: the sequences, the memory that they share, and the step.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_set>
#include <vector>

#include "runtime/cache/prefix_cache.h"
#include "runtime/engine.h"
#include "runtime/scheduler/prompt_pace.h"
#include "runtime/scheduler/scheduler.h"
#include "runtime/sequence.h"
#include "runtime/spec/draft_depths.h"
#include "runtime/spec/mtp_drafter.h"

namespace sluice::runtime {

inline double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// One thread calls step(); what other threads may touch has a mutex beside it.
class Engine::Loop {
 public:
  Loop(const model::TextModel& model, const tokenizer::Tokenizer* tokenizer,
       const EngineShape& shape, MillisecondClock clock);

  Status take_memory();
  Status check(const Request& request) const;
  bool step();
  void note_use();

  const model::TextModel& model;
  const tokenizer::Tokenizer* const tokenizer;  // may be null
  const EngineShape shape;
  const std::vector<TokenId> markers;
  std::vector<uint64_t> allowed;    // the mask of the row being sampled
  std::vector<float> logit_values;  // of the rows that are sampled from
  const MillisecondClock clock;
  DraftDepths depths;
  PromptPace pace;

  std::unique_ptr<ops::KvCache> cache;
  std::unique_ptr<ops::RecurrentState> recurrent;
  std::unique_ptr<model::Workspace> workspace;
  std::unique_ptr<MtpDrafter> drafter;
  std::unique_ptr<PrefixCache> prefixes;

  std::vector<int32_t> free_slots;
  std::vector<std::unique_ptr<Sequence>> running;  // in the order in which they were admitted
  std::unique_ptr<Sequence> arriving;  // the next of these, while its files are being read
  int64_t steps = 0, prompt_rows_read = 0;

  std::mutex inbox_mutex;  // guards the three below
  std::deque<std::unique_ptr<Sequence>> inbox;
  std::unordered_set<RequestId> cancelled;
  RequestId last_id = 0;

  std::mutex use_mutex;  // guards the one below
  CacheUse use;

 private:
  void admit();
  bool fetched(const Sequence& sequence);
  std::unique_ptr<Sequence> next_waiting();
  std::vector<size_t> waiting_in_turn() const;
  void start(Sequence& sequence);
  StepPlan plan_step();
  void note_pace(const StepPlan& plan, double ms);
  void propose(const StepPlan& plan, const ops::View& hidden);
  void remember(const StepPlan& plan);
  void retire();
  // engine_sampling.cc
  void sample_step(const StepPlan& plan, const ops::View& hidden);
  void sample_row(const ScheduledSegment& segment, int64_t offset, TokenId best,
                  std::span<float> logits);
  void take_token(Sequence& sequence, const SampledToken& token, bool forced);
  void finish(Sequence& sequence, FinishReason reason);
};

}  // namespace sluice::runtime
