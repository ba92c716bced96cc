// Splits of items over a pool.
#include "backend/cpu/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace sluice::cpu {
namespace {

TEST(SharedItems, EveryItemOnceForEverySize) {
  for (int threads = 1; threads <= 5; ++threads) {
    ThreadPool pool(threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
      shared_items(pool, count, false, [&](int64_t item, int member) {
        EXPECT_LT(member, threads);
        ++seen[static_cast<size_t>(item)];
      });
      for (const auto& times : seen) EXPECT_EQ(times.load(), 1);
    }
  }
}

// The first item does not end before all others have: a member alone with its part would wait for
// itself.
TEST(SharedItems, OthersFinishThePartOfAMemberThatIsHeldUp) {
  using namespace std::chrono_literals;
  ThreadPool pool(3);
  constexpr int64_t kCount = 90;
  std::atomic<int64_t> others{0};
  bool gave_up = false;
  shared_items(pool, kCount, false, [&](int64_t item, int) {
    if (item != 0) {
      ++others;
      return;
    }
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (others.load() < kCount - 1 && !gave_up) {
      std::this_thread::yield();
      gave_up = std::chrono::steady_clock::now() > end;
    }
  });
  EXPECT_FALSE(gave_up);
  EXPECT_EQ(others.load(), kCount - 1);
}

TEST(SharedItems, AMemberMeetsItsOwnPartFirst) {
  ThreadPool pool(2);
  std::vector<int64_t> first(2, -1);
  std::atomic<int> begun{0};
  shared_items(pool, 40, false, [&](int64_t item, int member) {
    auto& mine = first[static_cast<size_t>(member)];
    if (mine >= 0) return;
    mine = item;
    // Nobody goes on before both have taken one.
    for (++begun; begun.load() < 2;) std::this_thread::yield();
  });
  EXPECT_EQ(first, (std::vector<int64_t>{0, 20}));
}

}  // namespace
}  // namespace sluice::cpu
