// A response that is one JSON document.
#pragma once

#include "base/json.h"
#include "server/http/message.h"

namespace sluice::server::http {

Response json_response(const Json& body, int status = 200);

}  // namespace sluice::server::http
