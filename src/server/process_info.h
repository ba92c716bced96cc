// What the system says of this process. Linux's /proc; zero where it does not say.
#pragma once

#include <cstdint>

namespace sluice::server {

struct ProcessInfo {
  uint64_t resident_bytes = 0, virtual_bytes = 0;
  double cpu_seconds = 0;    // user and system, all threads
  double start_seconds = 0;  // since the epoch
  int64_t open_descriptors = 0, most_descriptors = 0;
};

ProcessInfo process_info();

}  // namespace sluice::server
