// POST /v1/messages and /v1/messages/count_tokens: the body as a neutral request
// (serving-anthropic.md 5.2 to 5.4).
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "server/core/common_fields.h"

namespace sluice::server::anthropic {

struct MessagesRequest {
  GenerationRequest neutral;
  bool thinking_omitted = false;  // thinking blocks come without their text
};

Result<MessagesRequest> read_messages_request(const Json& body, const AdapterContext& context);

}  // namespace sluice::server::anthropic
