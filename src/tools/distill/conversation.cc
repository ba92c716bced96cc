#include "tools/distill/conversation.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/normalise.h"

namespace sluice::distill {
namespace {

using tokenizer::TextRange;

constexpr std::string_view kTurnEnd = "<|im_end|>";

// Half-open byte ranges of a rendered conversation that are labels, ascending.
using LabelRanges = std::vector<TextRange>;

// The part of `ranges` that lies in [begin, end), relative to begin.
std::vector<TextRange> clip(const std::vector<TextRange>& ranges, size_t begin, size_t end) {
  std::vector<TextRange> out;
  for (const TextRange& range : ranges) {
    const size_t from = std::max(range.begin, begin), to = std::min(range.end, end);
    if (from < to) out.push_back({from - begin, to - begin});
  }
  return out;
}

// The end of the turn whose text begins at `from`: behind the first end marker that the template
// wrote, not one inside a message.
std::optional<size_t> turn_end(const chat::Rendered& rendered, size_t from) {
  for (size_t at = rendered.text.find(kTurnEnd, from); at != std::string::npos;
       at = rendered.text.find(kTurnEnd, at + 1)) {
    const size_t end = at + kTurnEnd.size();
    if (clip(rendered.data, at, end).empty()) return end;
  }
  return std::nullopt;
}

std::string role_of(const Json& message) {
  const Json* role = message.find("role");
  return role != nullptr && role->is_string() ? role->string() : std::string();
}

Status append(const TextTools& tools, const chat::Rendered& rendered, size_t begin, size_t end,
              float weight, Sample& sample) {
  if (begin == end) return {};
  const std::vector<TextRange> literal = clip(rendered.data, begin, end);
  SLUICE_ASSIGN(const auto ids,
                tools.tokenizer.encode(std::string_view(rendered.text).substr(begin, end - begin),
                                       {.recognise_added = true, .literal = literal}));
  sample.tokens.insert(sample.tokens.end(), ids.begin(), ids.end());
  sample.weights.resize(sample.tokens.size(), weight);
  return {};
}

Result<LabelRanges> find_labels(const TextTools& tools, chat::TemplateInput input,
                                const chat::Rendered& whole) {
  const Json::Array messages = input.messages.items();
  size_t first = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (role_of(messages[i]) == "user") first = i + 1;
  }
  LabelRanges labels;
  input.add_generation_prompt = true;
  bool asked = false;  // no template renders a prompt without a user's message
  for (size_t i = 0; i < messages.size(); ++i) {
    asked = asked || role_of(messages[i]) == "user";
    if (role_of(messages[i]) != "assistant" || !asked) continue;
    input.messages =
        Json(Json::Array(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i)));
    SLUICE_ASSIGN(const chat::Rendered prompt, tools.chat_template->render(input));
    if (!whole.text.starts_with(prompt.text)) {
      // An earlier turn that the template shows without its thought: nobody would generate it so.
      if (i < first) continue;
      return bad_input(
          fmt::format("messages[{}]", i),
          "the conversation as rendered does not begin with this turn's generation prompt",
          "Check that enable_thinking fits the turn: off with reasoning, or the reverse");
    }
    const std::optional<size_t> end = turn_end(whole, prompt.text.size());
    if (!end) return bad_input(fmt::format("messages[{}]", i), "its turn has no <|im_end|>");
    labels.push_back({prompt.text.size(), *end});
  }
  if (labels.empty())
    return bad_input("messages", "no assistant turn follows the last user message");
  return labels;
}

Result<Sample> from_messages(const Json& line, float weight, const TextTools& tools) {
  if (!tools.chat_template) {
    return bad_input(tools.folder.string(), "has no chat template, which messages need",
                     "Put chat_template.jinja beside tokenizer.json");
  }
  SLUICE_ASSIGN(chat::NormalisedRequest request, chat::normalise(line));
  chat::TemplateInput input;
  input.messages = std::move(request.messages);
  input.tools = std::move(request.tools);
  input.chat_template_kwargs = std::move(request.chat_template_kwargs);
  input.bos_token = tools.bos_token;
  input.eos_token = tools.eos_token;
  input.add_generation_prompt = false;
  SLUICE_ASSIGN(const chat::Rendered whole, tools.chat_template->render(input));
  SLUICE_ASSIGN(const LabelRanges labels, find_labels(tools, std::move(input), whole));
  Sample sample;
  size_t at = 0;
  for (const TextRange& range : labels) {
    SLUICE_TRY(append(tools, whole, at, range.begin, 0.0f, sample));
    SLUICE_TRY(append(tools, whole, range.begin, range.end, weight, sample));
    at = range.end;
  }
  return sample;  // what follows the last label teaches nothing
}

}  // namespace

Result<Sample> sample_from_json(const Json& line, const TextTools& tools) {
  if (!line.is_object()) return bad_input("line", "is not a JSON object");
  float weight = 1;
  if (const Json* given = line.find("weight")) {
    const std::optional<double> number = given->as_double();
    if (!number || !(*number > 0) || *number > 1000)
      return bad_input("weight", "is not a number above 0, at most 1000");
    weight = static_cast<float>(*number);
  }
  if (line.find("messages") != nullptr) return from_messages(line, weight, tools);
  const Json* text = line.find("text");
  if (text == nullptr || !text->is_string())
    return bad_input("line", "has neither messages nor text");
  SLUICE_ASSIGN(auto ids, tools.tokenizer.encode(text->string(), {.recognise_added = false}));
  Sample sample;
  sample.tokens.assign(ids.begin(), ids.end());
  sample.weights.assign(ids.size(), weight);
  return sample;
}

}  // namespace sluice::distill
