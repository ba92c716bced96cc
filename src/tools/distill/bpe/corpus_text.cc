#include "tools/distill/bpe/corpus_text.h"

namespace sluice::tools::bpe {

Result<chat::Rendered> corpus_text(const Json& line, const chat::ChatTemplate& chat_template) {
  if (const Json* text = line.find("text")) {
    if (!text->is_string()) return bad_input("text", "is not a string");
    return chat::Rendered{text->string(), {}};
  }
  const Json* messages = line.find("messages");
  if (messages == nullptr || !messages->is_array())
    return bad_input("line", "has neither text nor messages");
  chat::TemplateInput input;
  input.messages = *messages;
  if (const Json* tools = line.find("tools")) input.tools = *tools;
  if (const Json* kwargs = line.find("chat_template_kwargs")) input.chat_template_kwargs = *kwargs;
  return chat_template.render(input);
}

}  // namespace sluice::tools::bpe
