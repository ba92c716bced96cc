// The file of a scripted engine: which answer is played for which request (spec/cli.md, "Server").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "server/core/prompt.h"

namespace sluice::server {

struct ScriptedAnswer {
  // Conditions; all that are given must hold.
  std::optional<std::string> last_user_contains;
  std::optional<int64_t> turn;
  std::optional<std::string> tool;

  std::vector<TokenId> ids;           // the end of the turn included, unless open
  double step_ms = 0;                 // slows each step
  std::optional<int64_t> fail_after;  // the engine fails after so many tokens
  std::vector<int64_t> draft_groups;  // tokens of each step, in turn; empty: one
};

struct Script {
  std::vector<ScriptedAnswer> answers;

  // The first whose conditions hold; null if none does.
  const ScriptedAnswer* choose(const ConversationFacts& facts) const;
};

// `end_of_turn` follows each answer that is not open. Errors name the member.
Result<Script> parse_script(const Json& file, const tokenizer::Tokenizer& tokenizer,
                            TokenId end_of_turn);

}  // namespace sluice::server
