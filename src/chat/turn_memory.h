// The tokens that were sampled for each answer, to be found again when a client sends the answer
// back (serving-template.md 1.6, "exact turn memory").
//
// Rendered anew, an answer seldom gives the tokens that were sampled: JSON libraries re-order and
// re-spell arguments, clients drop the thought, white space moves. Each such difference would make
// the engine read the rest of the conversation again.
#pragma once

#include <cstddef>
#include <cstdint>
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

// Where in which conversation a turn stands: all the tokens before it, in one number.
using TurnPlace = uint64_t;
TurnPlace turn_place(std::span<const tokenizer::TokenId> before);

class TurnMemory {
 public:
  // Forgets the least recently used turns beyond so many bytes.
  explicit TurnMemory(size_t budget_bytes);

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
  struct Turn {
    std::string key, reasoning;
    TurnPlace place = 0;
    std::vector<tokenizer::TokenId> tokens;
    size_t bytes() const;
  };
  using Turns = std::list<Turn>;  // the last used first

  const size_t budget_bytes_;
  mutable std::mutex mutex_;
  Turns turns_;
  std::multimap<std::string, Turns::iterator, std::less<>> by_key_;
  size_t bytes_ = 0;
};

// What a client sees of an assistant message, in one spelling: the text, then name and arguments of
// each call with sorted keys and numbers by value. Ids are left out: some clients make their own.
std::string visible_form(const Json& message);

}  // namespace sluice::chat
