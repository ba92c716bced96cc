#include "chat/grammar/token_masks.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::chat::grammar {
namespace {

void set_bit(std::span<uint64_t> mask, TokenId id) {
  mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<size_t>(id) % 64);
}

}  // namespace

// Walks the tree with the threads of the automaton; tells which runs of tokens are allowed.
class TokenMasks::Walk {
 public:
  Walk(const TokenMasks& masks, StackPool& stacks) : masks_(masks), stacks_(stacks) {}

  ByteSet first_bytes(const Threads& threads) const {
    ByteSet first;
    for (const Thread& thread : threads) first |= next_bytes(masks_.automaton_, stacks_, thread);
    return first;
  }

  // Children of `node`, from `threads`, whose next bytes are `first`. `exits`: nodes at which a
  // thread stands at the end of its bottom rule, with tokens below.
  template <typename Allow>
  void children(int32_t node, const Threads& threads, const ByteSet& first, size_t depth,
                const Allow& allow, std::vector<int32_t>* exits) {
    const std::vector<TokenTrie::Node>& nodes = masks_.trie_->nodes();
    for (int32_t at = node + 1; at < nodes[static_cast<size_t>(node)].end;
         at = nodes[static_cast<size_t>(at)].end) {
      if (first.test(nodes[static_cast<size_t>(at)].byte)) visit(at, threads, depth, allow, exits);
    }
  }

  int64_t steps() const { return steps_; }  // nodes visited

 private:
  template <typename Allow>
  void visit(int32_t at, const Threads& threads, size_t depth, const Allow& allow,
             std::vector<int32_t>* exits) {
    const TokenTrie::Node& node = masks_.trie_->nodes()[static_cast<size_t>(at)];
    ++steps_;
    if (levels_.size() <= depth) levels_.resize(depth + 1);
    Threads next = std::move(levels_[depth]);
    next.clear();
    step(masks_.automaton_, stacks_, threads, node.byte, next);
    if (!next.empty()) {
      if (takes_all(next, node.plain)) {
        allow(node.first_token, node.last_token);
      } else {
        allow(node.first_token, node.own_end);
        if (node.end > at + 1) {
          if (exits && std::any_of(next.begin(), next.end(), [&](const Thread& thread) {
                return reaches_bottom(masks_.automaton_, stacks_, thread);
              }))
            exits->push_back(at);
          children(at, next, first_bytes(next), depth + 1, allow, exits);
        }
      }
    }
    levels_[depth] = std::move(next);
  }

  bool takes_all(const Threads& threads, int16_t plain) const {
    return plain != TokenTrie::kNotPlain &&
           std::any_of(threads.begin(), threads.end(), [&](const Thread& thread) {
             return masks_.automaton_.states[static_cast<size_t>(thread.state)].plain_capacity >=
                    plain;
           });
  }

  const TokenMasks& masks_;
  StackPool& stacks_;
  std::vector<Threads> levels_;  // memory of each depth, used again
  int64_t steps_ = 0;
};

TokenMasks::TokenMasks(Empty, Automaton automaton, std::shared_ptr<const TokenTrie> trie)
    : automaton_(std::move(automaton)), trie_(std::move(trie)) {
  locals_.reserve(automaton_.states.size());
}

TokenMasks::TokenMasks(Automaton automaton, std::shared_ptr<const TokenTrie> trie)
    : TokenMasks(Empty{}, std::move(automaton), std::move(trie)) {
  for (size_t state = 0; state < automaton_.states.size(); ++state)
    locals_.push_back(walk_state(static_cast<int32_t>(state)));
}

Result<std::shared_ptr<const TokenMasks>> TokenMasks::build(Automaton automaton,
                                                            std::shared_ptr<const TokenTrie> trie,
                                                            const MaskLimits& limits) {
  std::shared_ptr<TokenMasks> masks(new TokenMasks(Empty{}, std::move(automaton), std::move(trie)));
  size_t bytes = 0;
  for (size_t state = 0; state < masks->automaton_.states.size(); ++state) {
    const Local& local =
        masks->locals_.emplace_back(masks->walk_state(static_cast<int32_t>(state)));
    bytes += local.memory_bytes();
    if (masks->steps_ > limits.steps || bytes > limits.bytes) {
      return usage_error({},
                         fmt::format("its masks over this vocabulary of {} tokens are too large",
                                     masks->trie_->vocabulary_size()),
                         "use fewer or smaller repetitions (minItems, maxLength, ...)");
    }
  }
  return std::shared_ptr<const TokenMasks>(std::move(masks));
}

size_t TokenMasks::Local::memory_bytes() const {
  return sizeof *this + tokens.capacity() * sizeof(TokenId) + bits.capacity() * sizeof(uint64_t) +
         exits.capacity() * sizeof(int32_t);
}

TokenMasks::Local TokenMasks::walk_state(int32_t state) {
  Local local;
  StackPool stacks;
  const auto allow = [&](int32_t first, int32_t last) {
    for (int32_t rank = first; rank < last; ++rank)
      local.tokens.push_back(trie_->tokens()[static_cast<size_t>(rank)]);
  };
  const Threads from = {{StackPool::kBottom, state}};
  Walk walk(*this, stacks);
  walk.children(0, from, walk.first_bytes(from), 0, allow, &local.exits);
  steps_ += walk.steps();
  const auto words = static_cast<size_t>((trie_->vocabulary_size() + 63) / 64);
  if (local.tokens.size() > 2 * words) {  // a list would be larger than the bits
    local.bits.assign(words, 0);
    for (const TokenId id : local.tokens) set_bit(local.bits, id);
    local.tokens.clear();
  }
  local.tokens.shrink_to_fit();
  local.exits.shrink_to_fit();
  return local;
}

void TokenMasks::add_allowed(StackPool& stacks, const Threads& threads,
                             std::span<uint64_t> mask) const {
  const size_t mark = stacks.size();
  for (Thread thread : threads) {
    for (;;) {
      const Local& local = locals_[static_cast<size_t>(thread.state)];
      for (const TokenId id : local.tokens) set_bit(mask, id);
      for (size_t word = 0; word < local.bits.size(); ++word) mask[word] |= local.bits[word];
      if (thread.stack == StackPool::kBottom) break;
      const Thread caller = stacks.pop(thread.stack);
      follow(stacks, caller, local.exits, mask);
      if (!automaton_.states[static_cast<size_t>(thread.state)].accepting) break;
      thread = caller;
    }
  }
  stacks.truncate(mark);
}

// What can follow where tokens leave a rule: their rest is read by the callers.
void TokenMasks::follow(StackPool& stacks, Thread caller, const std::vector<int32_t>& exits,
                        std::span<uint64_t> mask) const {
  if (exits.empty()) return;
  const auto allow = [&](int32_t first, int32_t last) {
    for (int32_t rank = first; rank < last; ++rank)
      set_bit(mask, trie_->tokens()[static_cast<size_t>(rank)]);
  };
  Walk walk(*this, stacks);
  const Threads from = {caller};
  const ByteSet first = walk.first_bytes(from);
  for (const int32_t node : exits) walk.children(node, from, first, 0, allow, nullptr);
}

size_t TokenMasks::memory_bytes() const {
  size_t bytes = 0;
  for (const Local& local : locals_) bytes += local.memory_bytes();
  for (const Automaton::State& state : automaton_.states)
    bytes += sizeof state + state.moves.capacity() * sizeof state.moves[0] +
             state.calls.capacity() * sizeof state.calls[0];
  return bytes;
}

}  // namespace sluice::chat::grammar
