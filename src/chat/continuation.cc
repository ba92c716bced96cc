#include "chat/continuation.h"

#include <algorithm>

#include "base/check.h"
#include "chat/jinja/unicode.h"
#include "chat/normalise_message.h"

namespace sluice::chat {
namespace {

// Marks the place of the cut. Characters that no tokenizer has merges for and no message contains;
// should one contain them, it is still the last occurrence that counts.
constexpr std::string_view kMark = "\xF4\x8F\xBF\xBDsluice:end\xF4\x8F\xBF\xBD";  // U+10FFFD

std::string trimmed(const std::string& text) { return std::string(jinja::strip_right(text)); }

bool has_media(const Json& parts) {
  return std::any_of(parts.items().begin(), parts.items().end(),
                     [](const Json& part) { return !part.find("text"); });
}

void append_mark(Json& message) {
  Json part = Json::object();
  part.set("type", "text");
  part.set("text", kMark);
  message.find("content")->push_back(std::move(part));
}

void cut(Rendered& rendered, size_t size) {
  rendered.text.resize(size);
  std::erase_if(rendered.data, [&](const auto& range) { return range.begin >= size; });
  if (!rendered.data.empty()) rendered.data.back().end = std::min(rendered.data.back().end, size);
}

}  // namespace

Result<Rendered> render_continuation(const ChatTemplate& chat_template, TemplateInput input,
                                     TemplateError* where) {
  SLUICE_CHECK(input.messages.is_array() && !input.messages.items().empty(), "messages are {}",
               input.messages.kind_name());
  SLUICE_CHECK(!input.add_generation_prompt, "a continuation has no generation prompt");
  Json& last = input.messages.items().back();
  const Json* content = last.find("content");
  const std::string text = content && !content->is_null() ? trimmed(content_text(*content)) : "";
  const Json* reasoning = last.find("reasoning_content");
  const bool within_thought =
      text.empty() && reasoning && reasoning->is_string() && !reasoning->string().empty();
  if (within_thought) {
    last.set("reasoning_content", trimmed(reasoning->string()) + std::string(kMark));
  } else if (content && content->is_array() && has_media(*content)) {
    append_mark(last);
  } else {
    last.set("content", text + std::string(kMark));
  }
  auto rendered = chat_template.render(input, where);
  if (!rendered.ok()) return rendered;
  const size_t mark = rendered->text.rfind(kMark);
  if (mark == std::string::npos) {
    return usage_error("messages", "the template does not render the final message",
                       "Send the request without continue_final_message");
  }
  cut(*rendered, mark);
  return rendered;
}

}  // namespace sluice::chat
