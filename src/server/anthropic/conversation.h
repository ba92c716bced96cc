// Anthropic's content blocks as the messages that chat::normalise() takes (serving-anthropic.md 5.3
// and 5.4).
#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"

namespace sluice::server::anthropic {

// `system` as one text: blocks joined by a line break, without the client's billing line. It
// changes at each request, and with it first in the prompt nothing behind it would ever be found in
// a cache.
Result<std::string> system_text(const Json& system);

// Messages in OpenAI's form, the system text first. `tools` are the request's, for references to
// deferred ones; may be null. Errors name the place.
Result<Json> convert_messages(const std::string& system, const Json& messages, const Json* tools);

// Tools in OpenAI's form; those that only Anthropic's servers can run are left out.
Result<Json> convert_tools(const Json& tools);

}  // namespace sluice::server::anthropic
