#include "runtime/engine.h"

#include <numeric>

#include "base/check.h"
#include "runtime/engine_loop.h"

namespace sluice::runtime {

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

double DraftCounts::mean_head_rows() const {
  const int64_t all = std::accumulate(proposed.begin(), proposed.end(), int64_t{0});
  return all == 0 ? 0 : static_cast<double>(head_rows) / static_cast<double>(all);
}

Result<std::unique_ptr<Engine>> Engine::create(const model::TextModel& model,
                                               const tokenizer::Tokenizer* tokenizer,
                                               const EngineShape& shape,
                                               std::function<double()> clock) {
  SLUICE_CHECK(shape.context > 0 && shape.sequences > 0 && shape.draft_depth >= 0 &&
                   shape.prompt_rows > 0 && shape.prompt_rows % ops::kGrid == 0,
               "context {} sequences {} draft depth {} prompt rows {}", shape.context,
               shape.sequences, shape.draft_depth, shape.prompt_rows);
  if (!clock) clock = [] { return milliseconds({}, Clock::now()); };
  auto loop = std::make_unique<Loop>(model, tokenizer, shape, std::move(clock));
  SLUICE_TRY(loop->take_memory());
  return std::unique_ptr<Engine>(new Engine(std::move(loop)));
}

Engine::Engine(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
Engine::~Engine() = default;

const EngineShape& Engine::shape() const { return loop_->shape; }

Result<RequestId> Engine::submit(Request request, Listener& listener) {
  SLUICE_TRY(loop_->check(request));
  const std::lock_guard lock(loop_->inbox_mutex);
  const RequestId id = ++loop_->last_id;
  auto sequence = std::make_unique<Sequence>(id, std::move(request), &listener, loop_->tokenizer);
  sequence->submitted = sequence->started = Clock::now();
  loop_->inbox.push_back(std::move(sequence));
  return id;
}

void Engine::cancel(RequestId id) {
  const std::lock_guard lock(loop_->inbox_mutex);
  loop_->cancelled.insert(id);
}

bool Engine::step() {
  if (loop_->step()) return true;
#ifndef NDEBUG
  SLUICE_CHECK(intact(), "{} sequences, {} free slots", loop_->running.size(),
               loop_->free_slots.size());
#endif
  return false;
}

void Engine::run_until_idle() {
  while (step()) {
  }
}

bool Engine::save_some() {
  const bool more = loop_->prefixes->save_some();
  loop_->note_use();
  return more;
}

CacheUse Engine::cache_use() const {
  const std::lock_guard lock(loop_->use_mutex);
  return loop_->use;
}

bool Engine::intact() const {
  const auto slots = static_cast<int64_t>(loop_->free_slots.size() + loop_->running.size());
  return slots == loop_->shape.sequences && loop_->prefixes->intact(loop_->running);
}

}  // namespace sluice::runtime
