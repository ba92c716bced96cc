#include "server/core/encoder.h"

namespace sluice::server {

void WholeChoice::add(const AnswerEvent& event) {
  using Kind = AnswerEvent::Kind;
  tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
  switch (event.kind) {
    case Kind::kReasoning:
      reasoning += event.text;
      return;
    case Kind::kContent:
      content += event.text;
      return;
    case Kind::kToolStart:
      calls.push_back({event.text, {}, false});
      return;
    case Kind::kToolArguments:
      calls.back().arguments += event.text;
      return;
    case Kind::kToolEnd:
      calls.back().complete = true;
      return;
    case Kind::kFinish:
      finish = *event.finish;
      // A strict reader of JSON must not fail over a cut; the reason still says "length".
      if (!calls.empty()) calls.back().arguments += finish.arguments_completion;
      return;
  }
}

Json WholeChoice::message() const {
  Json made = Json::object();
  made.set("role", "assistant");
  made.set("content", content);
  if (!reasoning.empty()) made.set("reasoning_content", reasoning);
  if (calls.empty()) return made;
  Json list = Json::array();
  for (const WholeCall& call : calls) {
    Json function = Json::object();
    function.set("name", call.name);
    function.set("arguments", call.arguments);
    Json entry = Json::object();
    entry.set("function", std::move(function));
    list.push_back(std::move(entry));
  }
  made.set("tool_calls", std::move(list));
  return made;
}

void Usage::add(const Finish& finish, bool first_of_prompt) {
  if (first_of_prompt) {
    prompt += finish.report.prompt_tokens;
    cached += finish.report.cached_tokens;
  }
  completion += finish.completion_tokens;
  reasoning += finish.reasoning_tokens;
}

}  // namespace sluice::server
