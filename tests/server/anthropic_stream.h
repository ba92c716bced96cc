// A stream of /v1/messages read as strictly as its grammar is written (serving-anthropic.md 5.6),
// and the message that it tells.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace sluice::test {

// The message as a whole answer would have it: content, stop_reason, usage. Throws
// std::runtime_error at the first event that breaks the grammar: order, indices, kinds of deltas,
// arguments that are no prefix of JSON, lines that are missing.
Json read_anthropic_stream(std::string_view stream);

}  // namespace sluice::test
