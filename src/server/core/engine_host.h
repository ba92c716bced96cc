// The thread that owns the engine: requests in, events out.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "server/core/api_error.h"
#include "server/core/queue_limits.h"
#include "server/core/step_engine.h"

namespace sluice::server {

// Counts over the life of the server, for the metrics. Read from any thread.
struct EngineCounters {
  std::atomic<int64_t> waiting{0}, running{0};  // requests, now
  std::atomic<int64_t> waiting_tokens{0};       // of the prompts of those that wait
  std::atomic<uint64_t> steps{0};
  std::atomic<uint64_t> prompt_tokens{0}, generated_tokens{0};  // as they are read and made
  // Of requests that have ended.
  std::atomic<uint64_t> finished_prompt_tokens{0}, cached_tokens{0}, drafted{0}, accepted{0};
  // Steps by their tokens: at most 1, 8, 16, 32, ... 16384, and more (vllm:iteration_tokens_total).
  static constexpr std::array<int64_t, 13> kStepBounds = {1,   8,    16,   32,   64,   128,  256,
                                                          512, 1024, 2048, 4096, 8192, 16384};
  std::array<std::atomic<uint64_t>, kStepBounds.size() + 1> steps_by_tokens{};
};

// A request that the engine holds, as of now.
struct RequestState {
  uint64_t key = 0;      // counts up over the life of the server
  bool started = false;  // has a place in the batch
  int64_t prompt_tokens = 0, prompt_read = 0, output_tokens = 0;
  double seconds = 0;  // since it came

  bool reads_prompt() const { return output_tokens == 0; }
};

class EngineHost {
 public:
  EngineHost(std::unique_ptr<StepEngine> engine, QueueLimits limits);
  ~EngineHost();  // stop()

  // Ends the thread; what is left fails, and no listener is held any more. Once, or never.
  void stop();

  // Thread-safe. `listener` is called on the engine's thread and kept until its request has ended.
  Answerable<runtime::RequestId> submit(runtime::Request request, const ConversationFacts& facts,
                                        std::shared_ptr<JobListener> listener);
  void cancel(runtime::RequestId id);

  // Nothing is being answered, and what is worth keeping is on disk (or nothing can be kept).
  bool settled() const { return settled_ || !alive_; }

  bool alive() const { return alive_; }  // false after the engine broke a promise
  const EngineCounters& counters() const { return counters_; }
  std::optional<runtime::CacheUse> cache_use() const { return engine_->cache_use(); }
  std::vector<RequestState> requests() const;  // in the order they came; any thread

  // Between two steps: nothing moves until resume(). Requests are taken and wait.
  void pause();
  void resume();
  bool paused() const { return paused_; }

 private:
  using Clock = std::chrono::steady_clock;
  class Tracker;
  void loop();
  void fail_all(const std::string& why);
  // Ends those whose time is over; says when to look again.
  std::optional<Clock::time_point> expire();
  void note_step();

  std::unique_ptr<StepEngine> engine_;
  const QueueLimits limits_;
  EngineCounters counters_;
  std::atomic<bool> alive_{true}, paused_{false}, settled_{false};
  int64_t step_tokens_ = 0;  // the engine's thread only

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false, work_ = false;
  uint64_t last_key_ = 0;
  std::map<uint64_t, std::unique_ptr<Tracker>> trackers_;
  std::vector<uint64_t> ended_;  // trackers to drop after the present step
  std::thread thread_;
};

}  // namespace sluice::server
