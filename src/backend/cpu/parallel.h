// Splitting independent work items over a pool. Who computes an item never changes its bits.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/threads.h"

namespace sluice::cpu {

// Below this many floats a loop is shorter than waking the team for it.
inline constexpr int64_t kSerialFloats = 16 * 1024;

// work(item, member) for items [0, count): contiguous parts, the same for the same arguments, so
// that a member meets the memory again that it touched in the step before.
template <typename Work>
void static_items(ThreadPool& pool, int64_t count, bool serial, const Work& work) {
  if (serial || count <= 1 || pool.size() == 1) {
    for (int64_t item = 0; item < count; ++item) work(item, 0);
    return;
  }
  pool.run([&](int member, int size) {
    const int64_t end = count * (member + 1) / size;
    for (int64_t item = count * member / size; item < end; ++item) work(item, member);
  });
}

// The same for items of unequal length: whoever is free takes the next.
template <typename Work>
void dynamic_items(ThreadPool& pool, int64_t count, const Work& work) {
  if (count <= 1 || pool.size() == 1) {
    for (int64_t item = 0; item < count; ++item) work(item, 0);
    return;
  }
  std::atomic<int64_t> next{0};
  pool.run([&](int member, int) {
    for (int64_t item = next.fetch_add(1); item < count; item = next.fetch_add(1)) {
      work(item, member);
    }
  });
}

}  // namespace sluice::cpu
