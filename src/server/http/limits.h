// What one client may take of the server (serving-ops.md 7.5, 7.9).
#pragma once

#include <chrono>
#include <cstddef>

namespace sluice::server::http {

using Duration = std::chrono::milliseconds;

struct Limits {
  size_t header_bytes = 64 << 10;
  size_t target_bytes = 8 << 10;
  size_t body_bytes = 32 << 20;
  size_t connections = 1024;
  Duration header_time{10'000};     // from the first byte of a request, or from the connection
  Duration body_time{60'000};       // for the whole body
  Duration idle_time{75'000};       // between two requests of a connection
  Duration stalled_client{60'000};  // a write that makes no progress
};

}  // namespace sluice::server::http
