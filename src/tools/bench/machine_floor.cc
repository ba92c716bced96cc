#include "tools/bench/machine_floor.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "base/check.h"

namespace sluice::tools {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

int64_t MachineFloor::last_level_cache() {
  return static_cast<int64_t>(sluice::last_level_cache());
}

int64_t MachineFloor::default_bytes() {
  return std::clamp<int64_t>(16 * last_level_cache(), int64_t{256} << 20, int64_t{1} << 30);
}

Result<std::unique_ptr<MachineFloor>> MachineFloor::create(int threads,
                                                           std::string_view instruction_set,
                                                           int64_t buffer_bytes) {
  SLUICE_CHECK(threads >= 1 && buffer_bytes > 0, "{} threads, {} bytes", threads, buffer_bytes);
  const int64_t grain = MachineLoops::kGrain * threads;
  const int64_t bytes = (buffer_bytes + grain - 1) / grain * grain;
  try {
    PageBlock block(static_cast<size_t>(bytes));
    block.populate();
    return std::unique_ptr<MachineFloor>(
        new MachineFloor(threads, machine_loops(instruction_set), std::move(block)));
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kDoesNotFit, "buffer for the machine's floor",
                 "the system refused " + std::to_string(bytes) + " bytes", "Free memory"};
  }
}

MachineFloor::MachineFloor(int threads, const MachineLoops& loops, PageBlock block)
    : pool_(threads), loops_(loops), block_(std::move(block)) {}

MachineSpeed MachineFloor::measure() {
  // Part of the footprint behind the last whole grain of a member is left out.
  const int64_t grain = MachineLoops::kGrain;
  const int64_t bytes = static_cast<int64_t>(block_.size()) / grain * grain;
  MachineSpeed speed;
  Clock::time_point start = Clock::now();
  pool_.for_range(bytes, grain, [&](int64_t begin, int64_t end) {
    loops_.read(block_.data() + begin, end - begin);
  });
  speed.read = static_cast<double>(bytes) / seconds_since(start);

  // Half of the buffer: both directions take twice as long.
  const int64_t half = std::max(bytes / 2 / grain, int64_t{1}) * grain;
  start = Clock::now();
  pool_.for_range(half, grain, [&](int64_t begin, int64_t end) {
    loops_.update(block_.data() + begin, end - begin);
  });
  speed.update = 2 * static_cast<double>(half) / seconds_since(start);

  speed.fp32 = products_per_second(loops_.fp32);
  speed.int16 = products_per_second(loops_.int16);
  speed.int8 = products_per_second(loops_.int8);

  speed.barrier = barrier_seconds();
  return speed;
}

double MachineFloor::barrier_seconds() {
  // Where other programs hold the cores, a run waits for the scheduler, and a thousand for seconds.
  constexpr int kRuns = 1000, kBetweenLooks = 20;
  constexpr double kLongest = 0.005;
  const Clock::time_point start = Clock::now();
  int runs = 0;
  while (runs < kRuns && seconds_since(start) < kLongest) {
    for (int run = 0; run < kBetweenLooks; ++run) pool_.run([](int, int) {});
    runs += kBetweenLooks;
  }
  return seconds_since(start) / runs;
}

double MachineFloor::products_per_second(const MachineLoops::Products& products) {
  if (products.run == nullptr) return 0;
  // 12 products of registers a turn: some 6 ms at 3 GHz and two a cycle.
  constexpr int64_t kTurns = 3'000'000;
  const Clock::time_point start = Clock::now();
  pool_.run([&](int, int) { products.run(kTurns); });
  return static_cast<double>(products.per_turn * kTurns * pool_.size()) / seconds_since(start);
}

}  // namespace sluice::tools
