// Bytes of a build on their way to its files: made by many threads in any order, handed on by one
// in the order of the file, while the next are read and encoded.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/result.h"

namespace sluice::convert {

using Sink = std::function<Status(std::span<const std::byte>)>;

// A line of places. Whoever has reserved some fills them, from any thread, and the writer's thread
// empties them in order. Only so many places from the first that is not yet written on have a
// buffer; who wants one behind them waits. What does not come from a buffer (a tensor that is
// copied, the journal's line about the one before it) stands in the same line.
//
// The first error by place ends it: nothing behind it is written, and all calls go on as if it
// were, so that nobody waits for ever.
class WriteBehind {
 public:
  explicit WriteBehind(size_t buffers);
  // Writes what is there, up to the first place that was never filled. Its error is lost: ask
  // drain() before.
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // The next `count` places, for the calling thread to share out. One thread reserves.
  uint64_t reserve(uint64_t count);
  // `bytes` to fill for a reserved place; waits until it is near enough to the front. To be
  // followed by end() or fail(), or nothing behind it is ever written.
  std::span<std::byte> begin(uint64_t place, size_t bytes);
  // They are filled: `sink` gets them on the writer's thread.
  void end(uint64_t place, Sink sink);
  void fail(uint64_t place, Error error);

  // Something else to do when all before it is written. Reserves, and waits as begin() does.
  // Errors: that of any place so far; `job` is then not done.
  Status add(std::function<Status()> job);
  // Waits until all that is reserved is written. Errors: the first.
  Status drain();

 private:
  struct Slot {
    std::vector<std::byte> buffer;
    size_t bytes = 0;
    Sink sink;
    std::optional<Error> error;
    bool filled = false;
  };

  Slot& slot(uint64_t place) { return slots_[place % slots_.size()]; }
  void fill(uint64_t place);
  void write_all();
  Status write(Slot& slot);
  Status status();

  std::vector<Slot> slots_;
  std::mutex
      guard_;  // of all below and of `filled`; a slot's rest belongs to who fills or writes it
  std::condition_variable filled_, written_;
  uint64_t reserved_ = 0, next_ = 0;  // places; the one to be written next
  bool stopping_ = false;
  std::optional<Error> error_;
  std::exception_ptr exception_;
  std::thread thread_;
};

}  // namespace sluice::convert
