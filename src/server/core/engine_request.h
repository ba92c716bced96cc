// From a neutral request to what the engine takes, once per choice.
#pragma once

#include <string>

#include "runtime/engine.h"
#include "server/core/model_text.h"
#include "server/core/prompt.h"
#include "server/core/request.h"

namespace sluice::server {

// The server's side of thinking (serving-reasoning.md 2.6).
struct ThinkingDefaults {
  int64_t budget = -1;
  std::string budget_message = "\n";
  bool break_loops = true;
  runtime::LoopThresholds loop = {};
};

// `seed` counts if the request has none. Errors name the field.
Result<runtime::Request> make_engine_request(const GenerationRequest& request,
                                             const PreparedPrompt& prompt, uint32_t choice,
                                             uint64_t seed, const ModelText& model,
                                             const ThinkingDefaults& defaults);

}  // namespace sluice::server
