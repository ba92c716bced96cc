// How much may wait for the engine, and how long.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>

namespace sluice::server {

// Beyond the first two a request is refused at once: the queue is full.
struct QueueLimits {
  int64_t requests = 1;  // in the batch, and waiting for a place in it
  int64_t tokens = std::numeric_limits<int64_t>::max();  // of prompts that wait; one may have more
  // A request that has found no place after so long fails; nothing: it waits.
  std::optional<std::chrono::milliseconds> longest_wait = std::nullopt;
  // From its arrival to the end of its answer; what runs longer fails wherever it stands.
  std::optional<std::chrono::milliseconds> longest_request = std::nullopt;
};

}  // namespace sluice::server
