// Where other servers do it differently and an operator may want their way: flags of `sluice serve`
// under the names that the serving pages give them.
#pragma once

#include "base/json.h"

namespace sluice::server {

struct ServingPolicy {
  // Of chat_template_kwargs, below those of a request (serving-template.md N11): an object or null.
  Json template_defaults;
  bool parse_special_tokens = false;     // a message's text may become special tokens
  bool exclude_tools_when_none = false;  // out of the prompt with tool_choice "none"
  bool lenient_empty_tools = true;       // [] is absent; else an error (OpenAI's adapters)
  bool penalise_markers = false;         // by presence and frequency penalties
  double min_thinking_temperature = 0;   // of answers that begin in a thought
  bool stop_in_reasoning = false;        // stop strings end a thought and its answer too
  bool logprobs_all_channels = false;    // thoughts and calls have theirs as well
};

}  // namespace sluice::server
