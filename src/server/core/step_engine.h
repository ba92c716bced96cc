// What the server drives: the real engine, or a script that plays one (spec/cli.md, "Server").
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/engine.h"
#include "server/core/api_error.h"
#include "server/core/prompt.h"

namespace sluice::server {

// The runtime's listener, and the one thing it cannot say: that a request failed.
class JobListener : public runtime::Listener {
 public:
  virtual void on_failure(ApiError::Kind kind, const std::string& why) = 0;  // instead of on_finish
};

class StepEngine {
 public:
  virtual ~StepEngine() = default;
  // As runtime::Engine; thread-safe. `listener` must live until on_finish or on_failure.
  virtual Result<runtime::RequestId> submit(runtime::Request request,
                                            const ConversationFacts& facts,
                                            JobListener& listener) = 0;
  virtual void cancel(runtime::RequestId id) = 0;  // thread-safe
  // One step over all running requests; false when there is nothing to do. Called by one thread.
  virtual bool step() = 0;
  // As runtime::Engine::save_some(); the thread of step().
  virtual bool save_some() { return false; }
  // Nothing: it keeps no pages. Thread-safe.
  virtual std::optional<runtime::CacheUse> cache_use() const { return std::nullopt; }
};

// The engine of a loaded model, which is handed in.
std::unique_ptr<StepEngine> make_model_engine(std::unique_ptr<runtime::Engine> engine);

}  // namespace sluice::server
