// Which tokens may come next: what sampling and drafting ask of a grammar, of which they know
// nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace sluice::runtime {

using TokenId = int32_t;

// Where one answer stands in its grammar. Used by one thread at a time.
//
// Between steps it stands behind the accepted tokens and nothing else: a drafter takes its own
// proposals with accept() and gives them back with rollback(). So what is drawn never depends on
// what was proposed.
class TokenMask {
 public:
  virtual ~TokenMask() = default;
  // Off: every token may come next, and fill() need not be asked.
  virtual bool binds() const = 0;
  // Sets the bits of the ids that may come next, 64 to a word, and clears all others. None is set
  // only if no token of the vocabulary can go on.
  virtual void fill(std::span<uint64_t> allowed) = 0;
  // The next token. False, and nothing is changed, if it is not allowed.
  virtual bool accept(TokenId token) = 0;
  // Nothing but a stop token could follow: the answer is whole.
  virtual bool complete() const = 0;
  virtual size_t position() const = 0;         // tokens taken
  virtual void rollback(size_t position) = 0;  // to an earlier position
};

// Immutable; all choices of a request share it, on any threads.
class TokenGrammar {
 public:
  virtual ~TokenGrammar() = default;
  virtual std::unique_ptr<TokenMask> begin() const = 0;
};

// Words of a mask over so many ids.
inline size_t mask_words(size_t vocabulary) { return (vocabulary + 63) / 64; }
bool allows_any(std::span<const uint64_t> allowed);
bool allows(std::span<const uint64_t> allowed, TokenId id);
// Sets the logits of the ids that are not allowed to minus infinity. An empty mask allows all.
void forbid_others(std::span<float> logits, std::span<const uint64_t> allowed);

}  // namespace sluice::runtime
