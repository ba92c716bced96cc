#include "tools/distill/corpus/tool_conversation.h"

#include <fmt/format.h>

namespace sluice::tools::corpus {
namespace {

constexpr const char* kOpeners[] = {
    "", "Please help: ", "Hello. ", "A task: ", "Tell me: ", "Quick: ", "Now: ", "One thing: "};
constexpr const char* kClosers[] = {"", " Thank you.", " Use a tool.", " It is important."};

constexpr int kPercentOff = 15;  // conversations with thinking off

}  // namespace

void ToolConversation::ask(std::string_view family, const char* const (&forms)[4],
                           std::initializer_list<std::pair<std::string_view, std::string>> values) {
  const auto parts =
      draw_.wording(family, {std::size(kOpeners), std::size(forms), std::size(kClosers)});
  messages_.push_back(
      user_message(kOpeners[parts[0]] + fill(forms[parts[1]], values) + kClosers[parts[2]]));
}

void ToolConversation::call(std::string thought, const std::vector<Step>& steps) {
  Json message = assistant_message(std::move(thought), "");
  Json calls = Json::array(), expected = Json::array();
  for (const Step& step : steps) {
    calls.push_back(function_call(step.call));
    expected.push_back(step.call);
  }
  message.set("tool_calls", std::move(calls));
  turns_.push_back({messages_.items().size(), check_of("calls", std::move(expected))});
  messages_.push_back(std::move(message));
  for (const Step& step : steps) messages_.push_back(tool_message(step.result));
}

void ToolConversation::call(Tool tool, std::initializer_list<Json> values, std::string result) {
  call(fmt::format("I call {}.", box_.name(tool)),
       {{box_.bare_call(tool, values), std::move(result)}});
}

void ToolConversation::say(std::string thought, std::string text, Json check) {
  turns_.push_back({messages_.items().size(), std::move(check)});
  messages_.push_back(assistant_message(std::move(thought), std::move(text)));
}

void ToolConversation::answer(std::string text, Json check) {
  say("I have the result.", std::move(text), std::move(check));
}

void ToolConversation::talk(std::string user, std::string thought, std::string text, Json check) {
  messages_.push_back(user_message(std::move(user)));
  say(std::move(thought), std::move(text), std::move(check));
}

Sample ToolConversation::finish() {
  Sample sample;
  sample.thinking = !draw_.chance(kPercentOff);
  if (!sample.thinking) {
    for (const Turn& turn : turns_) messages_.items()[turn.position].set("reasoning_content", "");
  }
  sample.messages = std::move(messages_);
  sample.tools = box_.definitions();
  const Turn& judged = turns_[draw_.below(turns_.size())];
  sample.prompt = judged.position;
  sample.check = judged.check;
  return sample;
}

}  // namespace sluice::tools::corpus
