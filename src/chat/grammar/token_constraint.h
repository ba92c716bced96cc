// What a request's grammar allows next, token by token: the object that the sampler asks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "chat/grammar/stack_automaton.h"
#include "chat/grammar/token_masks.h"

namespace sluice::chat::grammar {

struct ConstraintOptions {
  // The prompt leaves the model within a thought, which the grammar leaves free until
  // `think_close`. But it cannot open a call in there, nor (unless lazy) stop: both would be ways
  // round the grammar.
  bool starts_in_reasoning = false;
  std::optional<TokenId> think_close = {};
  // On: text is free, and the grammar binds from `call_open` to its end, each time (a call of a
  // strict tool). Off: it binds all content.
  bool lazy = false;
  std::optional<TokenId> call_open = {};
  std::vector<TokenId> stop = {};  // allowed where the grammar can end
};

// One per choice. Copies share the grammar. Not thread-safe.
//
// Drafts: advance() over the tokens of the draft, taking the mask before each, then rollback() to
// where the accepted ones end.
class TokenConstraint {
 public:
  TokenConstraint(std::shared_ptr<const TokenMasks> masks, ConstraintOptions options);

  // Off: every token is allowed now, and mask() need not be asked.
  bool binds() const { return now().phase != Phase::kText; }
  // One bit an id, 64 to a word; bits that are allowed are set, all others cleared. Ids beyond the
  // span are not allowed. Not empty as long as nothing ended it.
  void mask(std::span<uint64_t> allowed);
  // The next token. False, and nothing is changed, if it is not allowed.
  bool advance(TokenId token);
  // The output may stop here.
  bool can_end() const;
  // It must: nothing but a stop token can follow.
  bool must_end() const;

  size_t position() const { return history_.size() - 1; }  // tokens taken
  void rollback(size_t position);                          // to an earlier position

 private:
  enum class Phase { kThought, kText, kGrammar, kEnded };
  struct Step {
    Phase phase;
    size_t threads_end;  // in threads_; they begin where those of the step before end
    size_t stacks;       // size of the pool
  };

  const Step& now() const { return history_.back(); }
  Threads threads() const;
  void record(Phase phase, const Threads& threads);
  Threads start() const;
  bool is_stop(TokenId token) const;
  bool forbidden_in_thought(TokenId token) const;
  bool take_bytes(std::string_view bytes, Threads from);

  std::shared_ptr<const TokenMasks> masks_;
  ConstraintOptions options_;
  StackPool stacks_;
  std::vector<Step> history_;
  Threads threads_;  // of all steps
};

}  // namespace sluice::chat::grammar
