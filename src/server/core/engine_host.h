// The thread that owns the engine: requests in, events out.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "server/core/api_error.h"
#include "server/core/step_engine.h"

namespace sluice::server {

// Counts over the life of the server, for the metrics. Read from any thread.
struct EngineCounters {
  std::atomic<int64_t> waiting{0}, running{0};  // requests, now
  std::atomic<uint64_t> steps{0};
};

class EngineHost {
 public:
  // `most_requests`: those in the batch and those that wait for a place in it; beyond it submit()
  // says so.
  EngineHost(std::unique_ptr<StepEngine> engine, int64_t most_requests);
  ~EngineHost();  // stop()

  // Ends the thread; what is left fails, and no listener is held any more. Once, or never.
  void stop();

  // Thread-safe. `listener` is called on the engine's thread and kept until its request has ended.
  Answerable<runtime::RequestId> submit(runtime::Request request, const ConversationFacts& facts,
                                        std::shared_ptr<JobListener> listener);
  void cancel(runtime::RequestId id);

  bool alive() const { return alive_; }  // false after the engine broke a promise
  const EngineCounters& counters() const { return counters_; }

 private:
  class Tracker;
  void loop();
  void fail_all(const std::string& why);

  std::unique_ptr<StepEngine> engine_;
  const int64_t most_requests_;
  EngineCounters counters_;
  std::atomic<bool> alive_{true};

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false, work_ = false;
  uint64_t last_key_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<Tracker>> trackers_;
  std::vector<uint64_t> ended_;  // trackers to drop after the present step
  std::thread thread_;
};

}  // namespace sluice::server
