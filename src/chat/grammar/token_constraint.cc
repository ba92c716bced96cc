#include "chat/grammar/token_constraint.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::chat::grammar {

TokenConstraint::TokenConstraint(std::shared_ptr<const TokenMasks> masks, ConstraintOptions options)
    : masks_(std::move(masks)), options_(std::move(options)) {
  if (options_.starts_in_reasoning) {
    record(Phase::kThought, {});
  } else if (options_.lazy) {
    record(Phase::kText, {});
  } else {
    record(Phase::kGrammar, start());
  }
}

Threads TokenConstraint::start() const {
  const Automaton& automaton = masks_->automaton();
  return {{StackPool::kBottom, automaton.rules[static_cast<size_t>(automaton.root)].start}};
}

Threads TokenConstraint::threads() const {
  const size_t begin = history_.size() > 1 ? history_[history_.size() - 2].threads_end : 0;
  return {threads_.begin() + static_cast<std::ptrdiff_t>(begin),
          threads_.begin() + static_cast<std::ptrdiff_t>(now().threads_end)};
}

void TokenConstraint::record(Phase phase, const Threads& threads) {
  threads_.insert(threads_.end(), threads.begin(), threads.end());
  history_.push_back({phase, threads_.size(), stacks_.size()});
}

bool TokenConstraint::is_stop(TokenId token) const {
  return std::find(options_.stop.begin(), options_.stop.end(), token) != options_.stop.end();
}

bool TokenConstraint::forbidden_in_thought(TokenId token) const {
  return token == options_.call_open || (is_stop(token) && !options_.lazy);
}

void TokenConstraint::mask(std::span<uint64_t> allowed) {
  const Phase phase = now().phase;
  const bool free = phase == Phase::kThought || phase == Phase::kText;
  std::fill(allowed.begin(), allowed.end(), free ? ~uint64_t{0} : 0);
  const auto word_of = [&](TokenId id) -> uint64_t* {
    const auto bit = static_cast<size_t>(id);
    return id >= 0 && bit / 64 < allowed.size() ? &allowed[bit / 64] : nullptr;
  };
  const auto bit_of = [](TokenId id) { return uint64_t{1} << (static_cast<size_t>(id) % 64); };
  if (phase == Phase::kThought) {
    const auto forbid = [&](TokenId id) {
      if (uint64_t* word = word_of(id); word && forbidden_in_thought(id)) *word &= ~bit_of(id);
    };
    if (options_.call_open) forbid(*options_.call_open);
    for (const TokenId id : options_.stop) forbid(id);
  }
  if (phase != Phase::kGrammar) return;
  SLUICE_CHECK(static_cast<int64_t>(allowed.size()) * 64 >= masks_->trie().vocabulary_size(),
               "{} words for {} ids", allowed.size(), masks_->trie().vocabulary_size());
  masks_->add_allowed(stacks_, threads(), allowed);
  if (!can_end()) return;
  for (const TokenId id : options_.stop) {
    if (uint64_t* word = word_of(id)) *word |= bit_of(id);
  }
}

bool TokenConstraint::can_end() const {
  if (now().phase == Phase::kThought) return options_.lazy;
  if (now().phase != Phase::kGrammar) return true;
  const Threads all = threads();
  return std::any_of(all.begin(), all.end(), [&](const Thread& thread) {
    return reaches_bottom(masks_->automaton(), stacks_, thread);
  });
}

bool TokenConstraint::must_end() const {
  if (now().phase != Phase::kGrammar) return now().phase == Phase::kEnded;
  const Threads all = threads();
  return std::all_of(all.begin(), all.end(), [&](const Thread& thread) {
    return next_bytes(masks_->automaton(), stacks_, thread).none();
  });
}

bool TokenConstraint::advance(TokenId token) {
  const Phase phase = now().phase;
  if (phase == Phase::kEnded) return false;
  if (phase == Phase::kThought && forbidden_in_thought(token)) return false;
  if (is_stop(token)) {
    if (!can_end()) return false;
    record(Phase::kEnded, {});
    return true;
  }
  switch (phase) {
    case Phase::kThought:
      if (token != options_.think_close) {
        record(Phase::kThought, {});
      } else if (options_.lazy) {
        record(Phase::kText, {});
      } else {
        record(Phase::kGrammar, start());
      }
      return true;
    case Phase::kText:
      if (token == options_.call_open) return take_bytes(masks_->trie().bytes(token), start());
      record(Phase::kText, {});
      return true;
    case Phase::kGrammar:
      return take_bytes(masks_->trie().bytes(token), threads());
    case Phase::kEnded:
      break;
  }
  return false;
}

bool TokenConstraint::take_bytes(std::string_view bytes, Threads from) {
  if (bytes.empty()) return false;
  Threads next;
  for (const char byte : bytes) {
    next.clear();
    step(masks_->automaton(), stacks_, from, static_cast<uint8_t>(byte), next);
    std::swap(from, next);
  }
  if (from.empty()) {
    stacks_.truncate(now().stacks);
    return false;
  }
  const bool over =
      options_.lazy && std::any_of(from.begin(), from.end(), [&](const Thread& thread) {
        return reaches_bottom(masks_->automaton(), stacks_, thread);
      });
  record(over ? Phase::kText : Phase::kGrammar, over ? Threads{} : from);
  return true;
}

void TokenConstraint::rollback(size_t position) {
  SLUICE_CHECK(position < history_.size(), "position {} of {}", position, history_.size() - 1);
  history_.resize(position + 1);
  threads_.resize(now().threads_end);
  stacks_.truncate(now().stacks);
}

}  // namespace sluice::chat::grammar
