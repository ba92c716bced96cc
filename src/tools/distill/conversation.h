// One line of a data file to tokens and label weights.
#pragma once

#include <optional>

#include "base/json.h"
#include "base/result.h"
#include "tools/distill/model_folder.h"
#include "tools/distill/sample.h"

namespace sluice::distill {

// {"messages": [...], "tools": [...] | null, "chat_template_kwargs": {...}}: normalised and
// rendered as the server does. Labels are what the model would have generated: the assistant's
// turns after the last real user message, and earlier ones where the template shows them as they
// were generated (preserve_thinking), each from the end of its generation prompt to its <|im_end|>.
// Prompt and answer are encoded apart, as at run time, so that no token straddles the border.
// {"text": "..."}: all tokens are labels. Both may have "weight", the weight of their labels.
Result<Sample> sample_from_json(const Json& line, const TextTools& tools);

}  // namespace sluice::distill
