// The tokens that were sampled for each answer, to be found again when a client sends the answer
// back (serving-template.md 1.6, "exact turn memory").
//
// Rendered anew, an answer seldom gives the tokens that were sampled: JSON libraries re-order and
// re-spell arguments, clients drop the thought, white space moves. Each such difference would make
// the engine read the rest of the conversation again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tokenizer/tokenizer.h"

namespace sluice::chat {

// Where in which conversation a turn stands: all the tokens before it, in one number. The same in
// every build, since it is kept on disk. Made as the tokens come, so that the places of all turns
// of a conversation cost one pass.
using TurnPlace = uint64_t;
class TurnPlaceOf {
 public:
  void add(std::span<const tokenizer::TokenId> tokens);
  TurnPlace value() const { return value_; }

 private:
  TurnPlace value_ = 0;
};
TurnPlace turn_place(std::span<const tokenizer::TokenId> before);

struct KeptTurn {
  std::string key;  // whose it is, and what a client sees of it (visible_form)
  std::string reasoning;
  TurnPlace place = 0;
  std::vector<tokenizer::TokenId> tokens;  // the whole turn's

  size_t bytes() const;
  bool operator==(const KeptTurn&) const = default;
};

class TurnMemory {
 public:
  // Forgets the least recently used turns beyond so many bytes.
  explicit TurnMemory(size_t budget_bytes);

  // Is told of each turn that is remembered from now on, one at a time (turn_files.h).
  void tell(std::function<void(const KeptTurn&)> listener);
  // As an earlier server remembered it.
  void restore(KeptTurn turn);

  // `message` is the answer as it was sent: an assistant message with content, reasoning_content
  // (or reasoning) and tool_calls. `scope` keeps users apart (the API key): a turn is found in its
  // own scope only. `tokens` are the whole turn's.
  void remember(std::string_view scope, TurnPlace place, const Json& message,
                std::vector<tokenizer::TokenId> tokens);

  // The tokens of a turn that shows what `message` shows: the same text but for white space around
  // it, the same calls with equal arguments in any order of keys. A thought must be the same if the
  // message has one. Of several the one of this place, since an agent often answers twice alike in
  // other tokens; the latest if none stood here. Whether the thought may be replayed is the
  // caller's to decide.
  std::optional<std::vector<tokenizer::TokenId>> find(std::string_view scope, TurnPlace place,
                                                      const Json& message);

  size_t bytes() const;

 private:
  using Turns = std::list<KeptTurn>;  // the last used first
  void keep(KeptTurn turn);

  const size_t budget_bytes_;
  mutable std::mutex mutex_;  // guards the following
  std::function<void(const KeptTurn&)> listener_;
  Turns turns_;
  std::multimap<std::string, Turns::iterator, std::less<>> by_key_;
  size_t bytes_ = 0;
};

// What a client sees of an assistant message, in one spelling: the text, then name and arguments of
// each call with sorted keys and numbers by value. Ids are left out: some clients make their own.
std::string visible_form(const Json& message);

}  // namespace sluice::chat
