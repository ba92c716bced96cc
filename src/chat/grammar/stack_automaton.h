// Where a grammar stands: threads of the automaton, each with its stack of callers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "chat/grammar/automaton.h"

namespace sluice::chat::grammar {

// One way to read what was read. Several are open where alternatives begin alike.
struct Thread {
  int32_t stack = 0;  // of a StackPool
  int32_t state = 0;
  friend bool operator==(const Thread&, const Thread&) = default;
};
using Threads = std::vector<Thread>;

// Stacks as shared nodes: equal stacks have equal numbers. Grows at its end only, so that going
// back is cutting it off.
class StackPool {
 public:
  static constexpr int32_t kBottom = 0;

  StackPool() : nodes_(1) {}
  int32_t push(int32_t stack, int32_t return_state);
  // What is on top, and what is under it. Not for kBottom.
  Thread pop(int32_t stack) const { return nodes_[static_cast<size_t>(stack)]; }
  size_t size() const { return nodes_.size(); }
  void truncate(size_t size);

 private:
  std::vector<Thread> nodes_;  // (the stack under it, the state to return to)
  std::unordered_map<uint64_t, int32_t> known_;
};

// More threads than this are not followed: what they alone would allow is forbidden then. It bounds
// the work on grammars that are ambiguous at every level.
inline constexpr size_t kMaxThreads = 64;

// Threads after one more byte, appended to `out` without doubles.
void step(const Automaton& automaton, StackPool& stacks, const Threads& from, uint8_t byte,
          Threads& out);
// Whether a thread can return to the bottom, to the rule it began in.
bool reaches_bottom(const Automaton& automaton, const StackPool& stacks, Thread thread);
// Bytes that `thread` can read next.
ByteSet next_bytes(const Automaton& automaton, const StackPool& stacks, Thread thread);

}  // namespace sluice::chat::grammar
