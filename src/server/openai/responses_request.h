// POST /v1/responses: the body as a neutral request (serving-openai.md 4.9).
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "server/core/common_fields.h"

namespace sluice::server::openai {

struct ResponsesRequest {
  GenerationRequest neutral;
  bool store = true;
  bool summary = false;            // the thought is also sent as its own summary
  bool encrypted_content = false;  // the thought travels with the item, for stateless clients
  Json items;                      // of the conversation so far: earlier ones, then this input
  Json echoed;                     // fields of the request that the response repeats
};

// `history`: the items of the response that previous_response_id names; null if none is named.
Result<ResponsesRequest> read_responses_request(const Json& body, const AdapterContext& context,
                                                const Json* history);

// Input items as messages. Items of unknown types are skipped. Errors name the place.
Result<Json> messages_of_items(const Json& items, const std::string& instructions);

}  // namespace sluice::server::openai
