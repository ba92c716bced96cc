#include "chat/grammar/stack_automaton.h"

#include <algorithm>

namespace sluice::chat::grammar {
namespace {

uint64_t key_of(const Thread& node) {
  return static_cast<uint64_t>(static_cast<uint32_t>(node.stack)) << 32 |
         static_cast<uint32_t>(node.state);
}

void add(Thread thread, Threads& out) {
  if (out.size() < kMaxThreads && std::find(out.begin(), out.end(), thread) == out.end())
    out.push_back(thread);
}

// Reads `byte` in the rule of `thread`, or in those that it calls.
void step_within(const Automaton& automaton, StackPool& stacks, Thread thread, uint8_t byte,
                 Threads& out) {
  const int32_t target = automaton.next(thread.state, byte);
  if (target >= 0) add({thread.stack, target}, out);
  for (const auto& call : automaton.states[static_cast<size_t>(thread.state)].calls) {
    const Automaton::RuleEntry& rule = automaton.rules[static_cast<size_t>(call.rule)];
    if (!rule.first.test(byte)) continue;
    step_within(automaton, stacks, {stacks.push(thread.stack, call.target), rule.start}, byte, out);
  }
}

}  // namespace

int32_t StackPool::push(int32_t stack, int32_t return_state) {
  const Thread node{stack, return_state};
  const auto [place, inserted] = known_.emplace(key_of(node), static_cast<int32_t>(nodes_.size()));
  if (inserted) nodes_.push_back(node);
  return place->second;
}

void StackPool::truncate(size_t size) {
  for (size_t i = size; i < nodes_.size(); ++i) known_.erase(key_of(nodes_[i]));
  nodes_.resize(size);
}

void step(const Automaton& automaton, StackPool& stacks, const Threads& from, uint8_t byte,
          Threads& out) {
  for (Thread thread : from) {
    for (;;) {
      step_within(automaton, stacks, thread, byte, out);
      if (!automaton.states[static_cast<size_t>(thread.state)].accepting ||
          thread.stack == StackPool::kBottom)
        break;
      thread = stacks.pop(thread.stack);
    }
  }
}

bool reaches_bottom(const Automaton& automaton, const StackPool& stacks, Thread thread) {
  while (automaton.states[static_cast<size_t>(thread.state)].accepting) {
    if (thread.stack == StackPool::kBottom) return true;
    thread = stacks.pop(thread.stack);
  }
  return false;
}

ByteSet next_bytes(const Automaton& automaton, const StackPool& stacks, Thread thread) {
  ByteSet bytes;
  for (;;) {
    const Automaton::State& state = automaton.states[static_cast<size_t>(thread.state)];
    bytes |= state.next;
    if (!state.accepting || thread.stack == StackPool::kBottom) return bytes;
    thread = stacks.pop(thread.stack);
  }
}

}  // namespace sluice::chat::grammar
