// From a neutral request to token ids: normalise, render, encode.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "chat/prompt_turns.h"
#include "chat/turn_memory.h"
#include "server/core/api_error.h"
#include "server/core/model_text.h"
#include "server/core/request.h"

namespace sluice::server {

struct PreparedPrompt {
  std::vector<TokenId> ids;
  std::vector<int64_t> borders;  // ends of messages and tool results
  chat::OpenTurn turn = {};      // the answer's own; no tokens: it has none
  std::string text;              // what was rendered; empty for a prompt of ids
  bool thinking_open = false;
};

// What a script looks at to choose its answer (spec/cli.md).
struct ConversationFacts {
  std::string last_user;
  int64_t turn = 1;  // assistant messages so far, plus one
  std::vector<std::string> tools;
};

// Where the answers of this user that come back are looked up.
struct Replay {
  chat::TurnMemory* memory = nullptr;  // none: turns stay as they are rendered
  std::string scope;                   // whose
};

// Thread-safe; the expensive part of admitting a request, meant for a worker thread.
Answerable<std::vector<PreparedPrompt>> prepare_prompts(const GenerationRequest& request,
                                                        const ModelText& model,
                                                        const Replay& replay = {});
ConversationFacts conversation_facts(const GenerationRequest& request);

}  // namespace sluice::server
