// What goes from the engine's thread to a connection's, one choice of an answer at a time.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "server/core/engine_host.h"
#include "server/core/mailbox.h"
#include "server/metrics.h"

namespace sluice::server {

struct EngineEvent {
  int choice = 0;
  struct Start {
    int64_t cached_tokens = 0;
  };
  struct PromptToken {
    runtime::SampledToken token;
  };
  struct Failure {
    ApiError::Kind kind = ApiError::Kind::kInternal;
    std::string why;
  };
  std::variant<Start, runtime::SampledToken, PromptToken, runtime::RequestReport, Failure> what;
};

// What the two threads have to know of each other.
struct Pace {
  std::atomic<bool> writing{false};   // a write is under way
  std::atomic<bool> too_slow{false};  // and took so long that the request was cancelled
};

// Hands on what comes of one choice. A client that does not read must not fill the memory with
// tokens that wait for it: if more than `most_waiting` of them come during one write, its request
// is cancelled from here, since the connection's coroutine stands in that write. (Holding the
// engine's sequence back instead would keep its place in the batch for a client that may never come
// back.)
class ChoiceListener final : public JobListener {
 public:
  // `host` and `metrics` must outlive it.
  ChoiceListener(int choice, std::shared_ptr<Mailbox<EngineEvent>> mailbox,
                 std::shared_ptr<Pace> pace, EngineHost& host, Metrics& metrics,
                 size_t most_waiting);
  void set_id(runtime::RequestId id) { id_ = id; }  // the host's, once it is known

  void on_start(int64_t cached) override;
  void on_prompt_token(const runtime::SampledToken& token) override;
  void on_token(const runtime::TokenEvent& event) override;
  void on_finish(const runtime::RequestReport& report) override;
  void on_failure(ApiError::Kind kind, const std::string& why) override;

 private:
  const int choice_;
  const std::shared_ptr<Mailbox<EngineEvent>> mailbox_;
  const std::shared_ptr<Pace> pace_;
  EngineHost& host_;
  Metrics& metrics_;
  const size_t most_waiting_;
  std::atomic<runtime::RequestId> id_{0};
  std::optional<std::chrono::steady_clock::time_point> last_;  // token; the engine's thread only
  bool cut_ = false;                                           // the same
};

}  // namespace sluice::server
