// A grammar as an automaton over bytes with a stack: deterministic within a rule, rules call rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/result.h"
#include "chat/grammar/expression.h"

namespace sluice::chat::grammar {

struct Automaton {
  static constexpr int32_t kUnlimited = std::numeric_limits<int32_t>::max();

  struct Move {
    uint8_t first = 0, last = 0;
    int32_t target = 0;
  };
  struct Call {
    Rule rule = 0;
    int32_t target = 0;  // where the caller goes on
  };
  struct State {
    std::vector<Move> moves;  // by byte, disjoint
    std::vector<Call> calls;
    bool accepting = false;  // the rule may end here
    ByteSet next;            // bytes of moves and of the calls' first moves
    // So many characters that need no care in JSON strings (no quote, backslash or control
    // character) may follow, whichever they are, without leaving the rule. What lets a mask take
    // thousands of tokens at once.
    int32_t plain_capacity = 0;
  };
  struct RuleEntry {
    int32_t start = -1;
    ByteSet first;  // bytes with which a match can begin
  };

  std::vector<State> states;
  std::vector<RuleEntry> rules;
  Rule root = 0;

  // The state after `byte`, or -1.
  int32_t next(int32_t state, uint8_t byte) const {
    for (const Move& move : states[static_cast<size_t>(state)].moves) {
      if (byte <= move.last) return byte >= move.first ? move.target : -1;
    }
    return -1;
  }
};

struct AutomatonLimits {
  size_t nodes = 200'000;  // before determinisation
  size_t states = 30'000;
};

// From every state of the result the end can be reached. Errors (kUsage, with `what` left to the
// caller): too large, no finite match, a rule that begins with itself.
Result<Automaton> build_automaton(const Expressions& grammar, Rule root,
                                  const AutomatonLimits& limits = {});

}  // namespace sluice::chat::grammar
