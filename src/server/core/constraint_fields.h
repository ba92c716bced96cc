// Fields that bind the answer: tool choices and output formats in all their spellings
// (serving-tools.md 3.5, serving-openai.md 4.5).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/core/fields.h"
#include "server/core/request.h"

namespace sluice::server {

// tool_choice and parallel_tool_calls as OpenAI's routes have them; after tools are known.
void read_tool_choice(Fields& fields, GenerationRequest& request);
// Forces a call: of the tool `name`, or of any. Complains about `field` if there is none to call.
void force_call(Fields& fields, std::string_view field, const std::optional<std::string>& name,
                ToolPolicy& policy);

// response_format, and the spellings of vLLM, SGLang and llama.cpp. What no grammar is made of
// (regex, grammar, structural tags) is refused by name.
void read_constraint(Fields& fields, GenerationRequest& request);
// {"type": "text" | "json_object" | "json_schema", ...}: response_format, and text.format, where
// the schema's fields stand beside "type". `field` is what errors and the constraint name.
void read_format(Fields& fields, const std::string& field, const Json& format,
                 GenerationRequest& request);
// A second constraint is a complaint.
void set_constraint(Fields& fields, GenerationRequest& request, OutputConstraint constraint);

}  // namespace sluice::server
