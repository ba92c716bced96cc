// Asks the kernel for a source's pages before they are wanted, and lets go of those behind.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "base/file.h"
#include "checkpoint/checkpoint.h"
#include "tools/convert/source.h"

namespace sluice::convert {

// The stored tensors of a build in the order in which they are read, as steps. Advice only: what
// was not foreseen is read when it is touched. A page fault asks for a few hundred kilobytes and
// waits for them, which leaves a disk idle between two; a window of many megabytes keeps it busy
// while the processors work. Safe from several threads but for add() and begin().
class ReadAhead {
 public:
  explicit ReadAhead(const checkpoint::Checkpoint& checkpoint) : checkpoint_(&checkpoint) {}

  // The next step reads these; may be none.
  void add(std::span<const checkpoint::StoredTensor* const> tensors);
  // `step` is read from here on; all before it are done with.
  void begin(size_t step);
  // Another `share` of the step at hand is being read.
  void advance(double share);

 private:
  struct Part {
    const MappedFile* file;
    std::span<const std::byte> bytes;
    uint64_t begin;  // of all bytes, in the order of reading
  };

  void ask(uint64_t until);

  const checkpoint::Checkpoint* checkpoint_;
  std::vector<Part> parts_;
  std::vector<size_t> first_;  // part of each step
  size_t step_ = 0;
  size_t dropped_ = 0;             // parts
  std::atomic<double> share_ = 0;  // of the step that is read
  std::mutex guard_;               // of what follows
  size_t part_ = 0;                // the first that is not asked for whole
  uint64_t asked_ = 0;             // bytes
};

}  // namespace sluice::convert
