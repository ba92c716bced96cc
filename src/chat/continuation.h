// A prompt that ends within the last message, for the model to go on with it (serving-template.md
// N12).
#pragma once

#include "chat/template.h"

namespace sluice::chat {

// Renders with the final assistant message left open: what the template writes after its text is
// cut off, and white space at the end of that text as well. A message with reasoning and no text
// stays open within its thought. input.messages ends with an assistant message whose content is
// text or parts; add_generation_prompt is off.
Result<Rendered> render_continuation(const ChatTemplate& chat_template, TemplateInput input,
                                     TemplateError* where = nullptr);

}  // namespace sluice::chat
