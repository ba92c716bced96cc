// POST /v1/chat/completions: the body as a neutral request (serving-openai.md 4.2).
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "server/core/common_fields.h"

namespace sluice::server::openai {

struct StreamOptions {
  bool include_usage = false;
};

struct ChatRequest {
  GenerationRequest neutral;
  StreamOptions stream;
  bool inline_reasoning = false;  // reasoning_format "none": thoughts in tags within the content
  bool hold_reasoning = false;    // stream_reasoning false: the thought comes in one piece
};

Result<ChatRequest> read_chat_request(const Json& body, const AdapterContext& context);

// stream and stream_options, as completions have them too.
StreamOptions read_stream(Fields& fields, GenerationRequest& request);
// stop, stop_token_ids, ignore_eos, include_stop_str_in_output.
void read_stop(Fields& fields, const AdapterContext& context, GenerationRequest& request);
// Fields that are safe to leave unheeded, and those that would change the answer and cannot be
// honoured. One list for both routes.
void ignore_and_refuse(Fields& fields);

}  // namespace sluice::server::openai
