// The most memory that the process has held, file mappings aside. The kernel keeps no such mark, so
// a thread looks every 20 ms, as long as the object lives.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace sluice::tools {

class PeakMemory {
 public:
  PeakMemory();
  ~PeakMemory();
  PeakMemory(const PeakMemory&) = delete;
  PeakMemory& operator=(const PeakMemory&) = delete;

  uint64_t bytes();  // looks once more

 private:
  void look();
  std::atomic<uint64_t> most_{0};
  std::atomic<bool> stopping_{false};
  std::thread watcher_;
};

}  // namespace sluice::tools
