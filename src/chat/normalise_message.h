// One message, one tool: the rules of serving-template.md 1.4 that need no neighbour. Private to
// normalise.cc.
#pragma once

#include <string>

#include "chat/normalise.h"

namespace sluice::chat {

// N1, N4 to N7: the role's name in the template, content as text or parts, reasoning, tool calls.
// `where` is "messages[3]".
Result<Json> normalise_message(const Json& message, const std::string& where,
                               const NormaliseOptions& options);

// N9. Null: a deferred tool, which is not rendered. `where` is "tools[3]".
Result<Json> normalise_tool(const Json& tool, const std::string& where);

// The text of a normalised content, parts joined as the template joins them (without a separator).
std::string content_text(const Json& content);
// Adds text before or after, with a blank line between, unless the content is empty.
void prepend_text(Json& content, const std::string& text);
void append_text(Json& content, const std::string& text);

}  // namespace sluice::chat
