// What the machine can do at this minute: memory read by plain loads, memory updated in place,
// products in registers, and the thread pool's barrier. On shared machines all of it moves within
// seconds, so a figure is worth something only beside a sample taken right before it.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/memory.h"
#include "base/result.h"
#include "base/threads.h"
#include "tools/bench/machine_loops.h"

namespace sluice::tools {

// Of all threads together, a second.
struct MachineSpeed {
  double read = 0;    // bytes
  double update = 0;  // bytes read and written back in place, both directions counted
  double fp32 = 0, int16 = 0, int8 = 0;  // products, each added to a sum; 0: the class has none
  double barrier = 0;                    // seconds for an empty run of the pool
};

class MachineFloor {
 public:
  static int64_t last_level_cache();  // bytes; 0 if the system does not say
  // A buffer far larger than that.
  static int64_t default_bytes();
  // `threads` as the engine has; the class as BackendInfo names it. Errors: no room for the buffer.
  static Result<std::unique_ptr<MachineFloor>> create(int threads, std::string_view instruction_set,
                                                      int64_t buffer_bytes = default_bytes());

  MachineSpeed measure();  // about a tenth of a second

 private:
  MachineFloor(int threads, const MachineLoops& loops, PageBlock block);
  double barrier_seconds();
  double products_per_second(const MachineLoops::Products& products);

  ThreadPool pool_;
  const MachineLoops& loops_;
  PageBlock block_;
};

}  // namespace sluice::tools
