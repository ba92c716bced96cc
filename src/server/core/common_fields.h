// Fields that several protocols spell alike: sampling, thinking, tools (serving-sampling.md 6.3,
// serving-reasoning.md 2.5 and 2.6, serving-tools.md 3.5).
#pragma once

#include <string>

#include "base/json.h"
#include "server/core/fields.h"
#include "server/core/request.h"

namespace sluice::server {

// What an adapter has to know of the server.
struct AdapterContext {
  int64_t vocabulary = 0;
  std::string default_model;
  bool lenient_empty_tools = true;
};

void read_sampling(Fields& fields, const AdapterContext& context, GenerationRequest& request);
// cache_salt: at most 128 bytes, none of @ / \ NUL (serving-openai.md 4.2).
void read_cache_salt(Fields& fields, GenerationRequest& request);
// Every spelling of "think or not, how much, how long". Takes the fields thinking, reasoning,
// reasoning_effort, enable_thinking and the budgets; looks into chat_template_kwargs.
void read_thinking(Fields& fields, GenerationRequest& request);
// none, minimal, ..., or a number; into enabled and effort, unless enabled is settled already.
void set_effort(Fields& fields, std::string_view name, const Json& value, ThinkingPolicy& thinking);
// An integer of at least 0, or -1; a float or boolean is an error.
std::optional<int64_t> read_budget(Fields& fields, std::string_view name);

// `tools` in OpenAI's form: an array of {"type":"function","function":{...}}. Empty is absent, or
// an error if the context is not lenient.
void read_tools(Fields& fields, const Json* tools, const AdapterContext& context,
                GenerationRequest& request);

}  // namespace sluice::server
