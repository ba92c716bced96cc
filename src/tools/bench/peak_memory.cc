#include "tools/bench/peak_memory.h"

#include <algorithm>
#include <chrono>

#include "base/memory.h"

namespace sluice::tools {

PeakMemory::PeakMemory() {
  watcher_ = std::thread([this] {
    while (!stopping_) {
      look();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
}

PeakMemory::~PeakMemory() {
  stopping_ = true;
  watcher_.join();
}

uint64_t PeakMemory::bytes() {
  look();
  return most_;
}

void PeakMemory::look() {
  const uint64_t now = anonymous_resident_memory();
  uint64_t seen = most_;
  while (seen < now && !most_.compare_exchange_weak(seen, now)) {
  }
}

}  // namespace sluice::tools
