// Splitting independent work items over a pool. Who computes an item never changes its bits.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

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

// The next item of each member's part, alone in its cache line.
struct alignas(64) NextItem {
  std::atomic<int64_t> item;
};

// At least `members` of them. They belong to the calling thread, until its next call.
std::span<NextItem> next_items(int members);

// Both: the parts of static_items, each in ascending order, but a member that is done with its own
// takes what others have not begun. Cores differ in speed, and one of them may be held up by other
// programs; where they are equal nobody's memory moves.
template <typename Work>
void shared_items(ThreadPool& pool, int64_t count, bool serial, const Work& work) {
  if (serial || count <= 1 || pool.size() == 1) {
    for (int64_t item = 0; item < count; ++item) work(item, 0);
    return;
  }
  const std::span<NextItem> next = next_items(pool.size());
  for (int member = 0; member < pool.size(); ++member) {
    next[static_cast<size_t>(member)].item.store(count * member / pool.size(),
                                                 std::memory_order_relaxed);
  }
  pool.run([&, next](int member, int size) {
    for (int i = 0; i < size; ++i) {
      const int owner = (member + i) % size;
      std::atomic<int64_t>& item = next[static_cast<size_t>(owner)].item;
      const int64_t end = count * (owner + 1) / size;
      // Looked at first, so that parts that are done cost no write to a line that others read.
      while (item.load(std::memory_order_relaxed) < end) {
        const int64_t mine = item.fetch_add(1, std::memory_order_relaxed);
        if (mine < end) work(mine, member);
      }
    }
  });
}

}  // namespace sluice::cpu
