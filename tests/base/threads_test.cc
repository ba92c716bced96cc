#include "base/threads.h"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>

namespace sluice {
namespace {

TEST(ThreadPool, EveryIndexOnceForEverySize) {
  for (int threads = 1; threads <= 5; ++threads) {
    ThreadPool pool(threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
        pool.for_range(count, grain, [&](int64_t begin, int64_t end) {
          EXPECT_EQ(begin % grain, 0);
          for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
        });
        for (const auto& times : seen) EXPECT_EQ(times.load(), 1);
      }
    }
  }
}

TEST(ThreadPool, ManyShortRuns) {
  ThreadPool pool(3);
  int64_t total = 0;
  for (int i = 0; i < 2000; ++i) {
    std::atomic<int> members{0};
    pool.run([&](int, int) { ++members; });
    total += members;
  }
  EXPECT_EQ(total, 6000);
}

TEST(SpinBudget, ShrinksWhileInVainAndComesBack) {
  SpinBudget budget;
  EXPECT_EQ(budget.turns(), SpinBudget::kMost);
  for (int wait = 0; wait < 20; ++wait) budget.failed();
  EXPECT_EQ(budget.turns(), SpinBudget::kFewest);
  budget.succeeded();
  EXPECT_EQ(budget.turns(), 2 * SpinBudget::kFewest);
  for (int wait = 0; wait < 20; ++wait) budget.succeeded();
  EXPECT_EQ(budget.turns(), SpinBudget::kMost);
}

TEST(SpinBudget, TriesTheMostNowAndThen) {
  SpinBudget budget;
  int tried = 0;
  for (int wait = 0; wait < 1000; ++wait) {
    tried += wait >= SpinBudget::kTryEvery && budget.turns() == SpinBudget::kMost;
    budget.failed();
  }
  EXPECT_GE(tried, 10);
  EXPECT_LE(tried, 20);
  while (budget.turns() != SpinBudget::kMost) budget.failed();
  budget.succeeded();  // the cores are free again
  EXPECT_EQ(budget.turns(), SpinBudget::kMost);
  budget.failed();
  EXPECT_EQ(budget.turns(), SpinBudget::kMost / 2);
}

TEST(ThreadPool, PassesAnExceptionOn) {
  ThreadPool pool(3);
  for (int who = 0; who < 3; ++who) {
    EXPECT_THROW(pool.run([who](int member, int) {
      if (member == who) throw std::runtime_error("x");
    }),
                 std::runtime_error);
  }
  pool.run([](int, int) {});
}

}  // namespace
}  // namespace sluice
