// Places within a JSON document (RFC 6901), as references of JSON Schema name them.
#pragma once

#include <string_view>

#include "base/json.h"

namespace sluice::chat {

// The place of "#/a/b~1c/0" in `root`; nullptr if there is none, or the reference leads elsewhere.
const Json* resolve_reference(const Json& root, std::string_view reference);

}  // namespace sluice::chat
