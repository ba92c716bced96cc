// How many cores this process may use, and a fork-join pool over them.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "base/spin_budget.h"

namespace sluice {

// Cores by scheduling affinity and cgroup CPU quota, rounded up, at least 1.
int usable_cores();

// A fixed team of threads for data-parallel loops. The calling thread is member 0 and takes part.
// Members spin for a short while between runs (a decode step is hundreds of short loops), then
// sleep. On several sockets each stays on one, member 0 excepted, whose thread is not the pool's
// (base/memory_nodes.h). One run at a time: run() is not re-entrant and must always be called from
// the same thread.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // threads >= 1
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls work(member, size()) once on every member and returns when all are done. An exception
  // thrown by a member is rethrown here after all have finished.
  void run(const std::function<void(int member, int size)>& work);

  // Splits [0, count) into contiguous parts of multiples of `grain` (the last may be shorter), part
  // i for member i, and calls work(begin, end) for each non-empty part. The split is a function of
  // the arguments alone, so data first touched by a member stays with it.
  void for_range(int64_t count, int64_t grain,
                 const std::function<void(int64_t begin, int64_t end)>& work);

 private:
  void member_loop(int member);
  void finish_member();

  const int size_;
  SpinBudget budget_;  // the caller's; members keep their own
  std::vector<std::thread> threads_;
  const std::function<void(int, int)>* work_ = nullptr;
  std::atomic<uint32_t> generation_{0};
  std::atomic<uint32_t> remaining_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;
};

}  // namespace sluice
