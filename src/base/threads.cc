#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/memory_nodes.h"

namespace sluice {
namespace {

// Cores that a cgroup quota allows (cpu.max of version 2, cfs_quota of version 1); 0 if unlimited.
int quota_cores() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  int64_t period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0) {
    return static_cast<int>((std::stoll(quota) + period - 1) / period);
  }
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  int64_t value = 0;
  if (v1_quota >> value && v1_period >> period && value > 0 && period > 0) {
    return static_cast<int>((value + period - 1) / period);
  }
  return 0;
}

inline void pause_once() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <typename Condition>
void spin_then_wait(std::atomic<uint32_t>& value, SpinBudget& budget, Condition done) {
  for (int left = budget.turns(); left > 0; --left) {
    if (done(value.load(std::memory_order_acquire))) {
      budget.succeeded();
      return;
    }
    pause_once();
  }
  budget.failed();
  while (true) {
    const uint32_t seen = value.load(std::memory_order_acquire);
    if (done(seen)) return;
    value.wait(seen, std::memory_order_acquire);
  }
}

}  // namespace

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int cores = sched_getaffinity(0, sizeof set, &set) == 0
                  ? CPU_COUNT(&set)
                  : static_cast<int>(std::thread::hardware_concurrency());
  const int quota = quota_cores();
  if (quota > 0) cores = std::min(cores, quota);
  return std::max(cores, 1);
}

ThreadPool::ThreadPool(int threads) : size_(threads) {
  SLUICE_CHECK(threads >= 1, "threads {}", threads);
  threads_.reserve(static_cast<size_t>(threads - 1));
  const std::vector<Cores> nodes = memory_nodes();
  const Cores allowed = allowed_cores();
  for (int member = 1; member < threads; ++member) {
    threads_.emplace_back([this, member, cores = cores_of_member(nodes, allowed, member, threads)] {
      keep_to(cores);
      member_loop(member);
    });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::member_loop(int member) {
  uint32_t seen = 0;
  SpinBudget budget;
  while (true) {
    spin_then_wait(generation_, budget, [seen](uint32_t now) { return now != seen; });
    ++seen;
    if (stopping_.load()) return;
    try {
      (*work_)(member, size_);
    } catch (...) {
      if (!failed_.exchange(true)) failure_ = std::current_exception();
    }
    finish_member();
  }
}

void ThreadPool::finish_member() {
  if (remaining_.fetch_sub(1, std::memory_order_acq_rel) == 1) remaining_.notify_one();
}

void ThreadPool::run(const std::function<void(int, int)>& work) {
  if (size_ == 1) {
    work(0, 1);
    return;
  }
  work_ = &work;
  failed_.store(false);
  remaining_.store(static_cast<uint32_t>(size_ - 1), std::memory_order_release);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  std::exception_ptr own;
  try {
    work(0, size_);
  } catch (...) {
    own = std::current_exception();
  }
  spin_then_wait(remaining_, budget_, [](uint32_t left) { return left == 0; });
  if (own) std::rethrow_exception(own);
  if (failed_.load()) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::for_range(int64_t count, int64_t grain,
                           const std::function<void(int64_t, int64_t)>& work) {
  const int64_t grains = (count + grain - 1) / grain;
  run([&](int member, int size) {
    const int64_t begin = std::min(grains * member / size * grain, count);
    const int64_t end = std::min(grains * (member + 1) / size * grain, count);
    if (begin < end) work(begin, end);
  });
}

}  // namespace sluice
