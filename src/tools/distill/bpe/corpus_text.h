// Lines of a corpus as the text that a model is trained on.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "chat/template.h"

namespace sluice::tools::bpe {

// A line of train.jsonl: its plain text, or its messages rendered by the template as they are, as
// training and server see them. An error says what the line lacks or what the template refuses.
Result<chat::Rendered> corpus_text(const Json& line, const chat::ChatTemplate& chat_template);

}  // namespace sluice::tools::bpe
