// Which tokens a grammar allows: worked out once for each state of the automaton, joined for each
// position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "chat/grammar/automaton.h"
#include "chat/grammar/stack_automaton.h"
#include "chat/grammar/token_trie.h"

namespace sluice::chat::grammar {

// What compiling may take. In steps, not in time: the same grammar is always taken or always
// refused.
struct MaskLimits {
  int64_t steps = std::numeric_limits<int64_t>::max();  // nodes of the tree looked at, all states
  size_t bytes = std::numeric_limits<size_t>::max();
};

// A grammar compiled for a vocabulary. Immutable: any number of requests share it, on any threads.
//
// A token that stays within the rule in which it begins, or in rules called from there, depends on
// the state alone: those are decided at compile time. Where a token leaves the rule, only the rest
// of it depends on the callers; the places in the tree where that happens are kept, and followed
// from the callers at each position.
class TokenMasks {
 public:
  TokenMasks(Automaton automaton, std::shared_ptr<const TokenTrie> trie);
  // Error (kUsage, with `what` left to the caller): the grammar needs more than the limits.
  static Result<std::shared_ptr<const TokenMasks>> build(Automaton automaton,
                                                         std::shared_ptr<const TokenTrie> trie,
                                                         const MaskLimits& limits);

  const Automaton& automaton() const { return automaton_; }
  const TokenTrie& trie() const { return *trie_; }

  // Sets the bits of the tokens that can follow; leaves the others as they are. `stacks` is left as
  // it was.
  void add_allowed(StackPool& stacks, const Threads& threads, std::span<uint64_t> mask) const;
  size_t memory_bytes() const;
  int64_t steps() const { return steps_; }  // that compiling took

 private:
  // Of one state.
  struct Local {
    std::vector<TokenId> tokens;  // if few
    std::vector<uint64_t> bits;   // if many; else empty
    std::vector<int32_t> exits;   // nodes with children at which the rule can end
    size_t memory_bytes() const;
  };
  class Walk;

  struct Empty {};
  TokenMasks(Empty, Automaton automaton, std::shared_ptr<const TokenTrie> trie);
  Local walk_state(int32_t state);
  void follow(StackPool& stacks, Thread caller, const std::vector<int32_t>& exits,
              std::span<uint64_t> mask) const;

  const Automaton automaton_;
  const std::shared_ptr<const TokenTrie> trie_;
  std::vector<Local> locals_;  // by state
  int64_t steps_ = 0;
};

}  // namespace sluice::chat::grammar
