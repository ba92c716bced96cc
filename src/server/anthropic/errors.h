// Anthropic's error object (serving-anthropic.md 5.7).
#pragma once

#include <string>

#include "base/json.h"
#include "server/core/api_error.h"
#include "server/http/message.h"

namespace sluice::server::anthropic {

Json error_json(const ApiError& error, const std::string& request_id);
http::Response error_response(const ApiError& error, const std::string& request_id);

}  // namespace sluice::server::anthropic
