// POST /v1/completions: raw prompts, as evaluation harnesses send them (serving-openai.md 4.6).
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "server/openai/chat_request.h"

namespace sluice::server::openai {

struct CompletionsRequest {
  GenerationRequest neutral;
  StreamOptions stream;
};

Result<CompletionsRequest> read_completions_request(const Json& body,
                                                    const AdapterContext& context);

}  // namespace sluice::server::openai
