// OpenAI's error object (serving-openai.md 4.1).
#pragma once

#include <string>

#include "base/json.h"
#include "server/core/api_error.h"
#include "server/http/message.h"

namespace sluice::server::openai {

Json error_json(const ApiError& error);  // {"error": {...}}
// The id goes in a header that every answer has; it is taken so that both families' look alike.
http::Response error_response(const ApiError& error, const std::string& request_id = {});

}  // namespace sluice::server::openai
