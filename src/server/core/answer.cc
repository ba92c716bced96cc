#include "server/core/answer.h"

#include <algorithm>

namespace sluice::server {
namespace {

using Kind = AnswerEvent::Kind;

std::vector<TokenId> ending_ids(const StopPolicy& stop, const std::vector<TokenId>& model) {
  std::vector<TokenId> ids = stop.ids;
  if (!stop.ignore_eos) ids.insert(ids.end(), model.begin(), model.end());
  return ids;
}

chat::OutputOptions machine_options(const GenerationRequest& request, bool thinking_open) {
  chat::OutputOptions options;
  options.starts_in_reasoning = thinking_open;
  options.parse_tools = request.tools.active();
  options.tools = request.tools.declarations;
  options.parallel_calls = request.tools.parallel;
  return options;
}

}  // namespace

Answer::Answer(const GenerationRequest& request, const tokenizer::Tokenizer& tokenizer,
               const std::vector<TokenId>& stop_ids, bool thinking_open)
    : stop_(request.stop),
      split_(request.split_channels),
      reasoning_shown_(request.thinking.shown),
      logprobs_(request.logprobs.top >= 0),
      all_logprobs_(request.logprobs.all_channels),
      named_call_(request.tools.choice == ToolPolicy::Choice::kNamed),
      min_tokens_(request.sampling.min_tokens.value_or(0)),
      max_tokens_(request.max_tokens),
      machine_(chat::OutputVocabulary::of(tokenizer, ending_ids(request.stop, stop_ids)),
               machine_options(request, thinking_open)),
      decoder_(tokenizer, true),
      stop_ids_(ending_ids(request.stop, stop_ids)),
      matcher_(request.stop.strings),
      thought_matcher_(request.stop.in_thoughts ? request.stop.strings
                                                : std::vector<std::string>()) {}

bool Answer::is_own_stop(TokenId id) const {
  return std::find(stop_.ids.begin(), stop_.ids.end(), id) != stop_.ids.end();
}

std::vector<AnswerEvent> Answer::on_token(const runtime::SampledToken& token) {
  std::vector<AnswerEvent> events;
  if (max_tokens_ == 0) ended_ = true;  // only the prompt was to be read
  if (ended_) return events;
  ++tokens_;
  const bool stops = std::find(stop_ids_.begin(), stop_ids_.end(), token.id) != stop_ids_.end();
  if (!split_) {
    if (logprobs_) pending_.push_back(token);
    if (!stops) add_content(decoder_.push(token.id), events);
    return events;
  }
  const bool was_reasoning = machine_.in_reasoning();
  const int calls = machine_.calls();
  const std::vector<chat::OutputEvent> made = machine_.push({&token.id, 1});
  // Log probabilities belong to the content only (serving-openai.md 4.3): neither to thoughts nor
  // to the markup of calls, unless the operator wants all.
  const bool content =
      !was_reasoning && !machine_.in_reasoning() && !stops && calls == 0 && machine_.calls() == 0;
  if (logprobs_ && (content || all_logprobs_)) pending_.push_back(token);
  for (const chat::OutputEvent& event : made) {
    take(event, events);
    if (ended_) return events;
  }
  if (machine_.ended() && !stops) ended_ = single_call_ = true;
  return events;
}

std::vector<AnswerEvent> Answer::on_finish(const runtime::RequestReport& report) {
  std::vector<AnswerEvent> events;
  const bool cut = report.finish == runtime::FinishReason::kLength;
  if (!ended_) {
    if (split_) {
      const auto end = cut ? chat::OutputEnd::kCut : chat::OutputEnd::kStopped;
      for (const chat::OutputEvent& event : machine_.finish(end)) take(event, events);
    } else {
      add_content(decoder_.finish(), events);
    }
  }
  if (!ended_) flush_content(events);

  Finish finish;
  finish.report = report;
  finish.completion_tokens = tokens_;
  finish.reasoning_tokens = machine_.reasoning_tokens();
  finish.thought_stop = report.thought_stop;
  finish.calls = machine_.calls();
  finish.named_call = named_call_;
  finish.arguments_completion = machine_.arguments_completion();
  if (matcher_.matched() || thought_matcher_.matched()) {
    finish.cause = Finish::Cause::kStopString;
    finish.stop_string = matcher_.matched() ? matcher_.matched() : thought_matcher_.matched();
  } else if (single_call_) {
    finish.cause = Finish::Cause::kToolCall;
  } else if (cut || max_tokens_ == 0) {
    finish.cause = max_tokens_ && tokens_ >= *max_tokens_ ? Finish::Cause::kLength
                                                          : Finish::Cause::kContextFull;
  } else if (report.stop_id && is_own_stop(*report.stop_id)) {
    finish.cause = Finish::Cause::kStopId;
    finish.stop_id = report.stop_id;
  }
  ended_ = true;
  AnswerEvent last{Kind::kFinish, {}};
  last.tokens = std::exchange(pending_, {});
  last.finish = std::move(finish);
  events.push_back(std::move(last));
  return events;
}

void Answer::take(const chat::OutputEvent& event, std::vector<AnswerEvent>& events) {
  using Output = chat::OutputEvent::Kind;
  switch (event.kind) {
    case Output::kReasoning:
      return add_reasoning(event.text, events);
    case Output::kContent:
      flush_reasoning(events);
      return add_content(event.text, events);
    case Output::kToolStart:
      flush_reasoning(events);
      flush_content(events);
      events.push_back({Kind::kToolStart, event.text, event.call});
      return;
    case Output::kToolArguments:
      events.push_back({Kind::kToolArguments, event.text, event.call});
      return;
    case Output::kToolEnd:
      events.push_back({Kind::kToolEnd, {}, event.call});
      return;
    case Output::kEnd:
      flush_reasoning(events);
      return flush_content(events);
  }
}

void Answer::add_reasoning(const std::string& text, std::vector<AnswerEvent>& events) {
  const std::string shown = tokens_ <= min_tokens_ ? text : thought_matcher_.push(text);
  if (thought_matcher_.matched()) ended_ = true;
  if (reasoning_shown_ && !shown.empty()) events.push_back({Kind::kReasoning, shown});
}

void Answer::flush_reasoning(std::vector<AnswerEvent>& events) {
  const std::string held = thought_matcher_.finish();
  if (reasoning_shown_ && !held.empty()) events.push_back({Kind::kReasoning, held});
}

void Answer::add_content(const std::string& text, std::vector<AnswerEvent>& events) {
  if (text.empty()) return;
  // Stop strings are not looked for before min_tokens.
  if (tokens_ <= min_tokens_) return emit_content(text, events);
  std::string shown = matcher_.push(text);
  if (matcher_.matched()) {
    if (stop_.include_text) shown += *matcher_.matched();
    ended_ = true;
  }
  emit_content(std::move(shown), events);
}

void Answer::emit_content(std::string text, std::vector<AnswerEvent>& events) {
  if (text.empty()) return;
  AnswerEvent event{Kind::kContent, std::move(text)};
  event.tokens = std::exchange(pending_, {});
  events.push_back(std::move(event));
}

void Answer::flush_content(std::vector<AnswerEvent>& events) {
  emit_content(matcher_.finish(), events);
}

}  // namespace sluice::server
