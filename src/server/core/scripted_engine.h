// An engine that plays a script: protocol tests are exact and need no model.
#pragma once

#include <memory>

#include "server/core/script.h"
#include "server/core/step_engine.h"

namespace sluice::server {

struct ScriptedShape {
  int64_t context = 65'536;
  int64_t sequences = 4;  // running at once; the others wait
};

// Tokens come one a step, or in the script's groups, as accepted drafts would. Budgets and loops
// close a thought as in the real engine; the script then goes on behind its own </think>. A
// grammar ends the answer where it is complete; a script that breaks it fails, because its tokens
// are played as they are. Every token's log probability is 0. `tokenizer` must outlive the engine.
std::unique_ptr<StepEngine> make_scripted_engine(Script script,
                                                 const tokenizer::Tokenizer& tokenizer,
                                                 std::vector<TokenId> stop_ids,
                                                 const ScriptedShape& shape);

}  // namespace sluice::server
