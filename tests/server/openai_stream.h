// A stream of /v1/chat/completions read as strictly as its order is written (serving-openai.md,
// "Stream"), and the body that it tells.
#pragma once

#include <string_view>

#include "base/json.h"

namespace sluice::test {

// The body as a whole answer would have it: one choice with message and finish_reason, and usage,
// which the request must have asked for. Throws std::runtime_error at the first chunk that breaks
// the order: roles, kinds of deltas, indices of calls, arguments that are no prefix of JSON, what
// must be the same in all chunks, what stands behind the end.
Json read_openai_stream(std::string_view stream);

}  // namespace sluice::test
