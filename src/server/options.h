// Everything that `sluice serve` can be told (spec/cli.md, "Server"; serving-ops.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/memory_plan.h"
#include "server/core/engine_request.h"
#include "server/core/queue_limits.h"
#include "server/http/limits.h"
#include "server/openai/chat_encoder.h"

namespace sluice::server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  std::string unix_path;
  std::string tls_certificate, tls_key;
  std::vector<std::string> keys;             // none: open
  std::vector<std::string> allowed_origins;  // CORS; "*" is any
  bool strict_models = false;                // claude-* names are not taken
  bool metrics_need_key = false;
  http::Limits limits;
  int64_t max_waiting = 1024;                     // requests
  std::optional<int64_t> max_waiting_tokens;      // of their prompts; nothing: any number
  std::optional<http::Duration> longest_wait;     // for a place in the batch; nothing: any time
  std::optional<http::Duration> longest_request;  // with its answer; nothing: any time
  int64_t sequences = 1;
  int draft_depth = 0;
  int64_t client_backlog = 16'384;          // tokens that may wait for a client that does not read
  std::optional<runtime::MemoryPlan> plan;  // what the model was found to take; a script has none
  http::Duration ping_interval{15'000};
  http::Duration drain_grace{5'000};        // new requests get a 503 for so long
  http::Duration shutdown_timeout{30'000};  // then running ones are ended
  openai::ReasoningField reasoning_field = openai::ReasoningField::kBoth;
  ThinkingDefaults thinking;
  bool prefix_cache = false;  // the engine has one
  runtime::DiskCache disk;    // and it has a disk tier, which is fed to the end
  std::string lossy_states;   // the form in which it keeps states; empty: to the bit
  // Answers that come back are continued where they ended, and written as they were sampled. Off,
  // they are read anew as they are rendered, and every byte is what a cold server would send.
  bool reuse_answers = true;
  std::string request_log;  // a file for one JSON line a request; empty: standard error
  bool quiet = false;
  std::string version;

  QueueLimits queue_limits() const {
    QueueLimits queue;
    queue.requests = sequences + max_waiting;
    if (max_waiting_tokens) queue.tokens = *max_waiting_tokens;
    queue.longest_wait = longest_wait;
    queue.longest_request = longest_request;
    return queue;
  }
};

}  // namespace sluice::server
