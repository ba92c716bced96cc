#include "chat/output_machine.h"

#include <algorithm>

#include "base/utf8.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat {

using tokenizer::TokenId;

OutputVocabulary OutputVocabulary::of(const tokenizer::Tokenizer& tokenizer,
                                      std::vector<TokenId> stop) {
  return {[&tokenizer](TokenId id) { return tokenizer.bytes(id); },
          [&tokenizer](TokenId id) { return tokenizer.is_special(id); },
          ThinkMarkers::of(tokenizer), std::move(stop)};
}

OutputMachine::OutputMachine(OutputVocabulary vocabulary, OutputOptions options)
    : vocabulary_(std::move(vocabulary)),
      state_(options.starts_in_reasoning ? State::kReasoning : State::kContent),
      may_think_(!options.starts_in_reasoning) {}

std::vector<OutputEvent> OutputMachine::push(std::span<const TokenId> ids) {
  std::vector<OutputEvent> events;
  for (const TokenId id : ids) push_one(id, events);
  return events;
}

std::vector<OutputEvent> OutputMachine::finish(OutputEnd) {
  std::vector<OutputEvent> events;
  if (!ended()) end(events);
  return events;
}

void OutputMachine::push_one(TokenId id, std::vector<OutputEvent>& events) {
  if (ended()) return;
  if (std::find(vocabulary_.stop.begin(), vocabulary_.stop.end(), id) != vocabulary_.stop.end())
    return end(events);
  if (state_ == State::kReasoning) ++reasoning_tokens_;
  if (id == vocabulary_.think.close) {
    // A second one in the content says nothing new: dropped.
    if (state_ != State::kReasoning) return;
    close_channel(events);
    state_ = State::kContent;
    return;
  }
  if (id == vocabulary_.think.open) {
    if (state_ == State::kReasoning) return;
    if (may_think_) {
      // A model that thinks although the prompt did not open a thought.
      close_channel(events);
      state_ = State::kReasoning;
      may_think_ = false;
      ++reasoning_tokens_;
      return;
    }
  }
  if (!vocabulary_.is_special(id)) add_bytes(vocabulary_.bytes(id), events);
}

void OutputMachine::add_bytes(std::string_view bytes, std::vector<OutputEvent>& events) {
  std::string text = std::move(unfinished_) + std::string(bytes);
  const size_t whole = text.size() - incomplete_utf8_suffix(text);
  unfinished_ = text.substr(whole);
  text.resize(whole);
  add_text(replace_invalid_utf8(text), events);
}

// Reasoning loses line breaks at its begin and white space at its end, content white space at its
// begin: the template trims both when the message comes back, so nothing is lost.
void OutputMachine::add_text(std::string text, std::vector<OutputEvent>& events) {
  const bool reasoning = state_ == State::kReasoning;
  if (channel_empty_) {
    text = reasoning ? text.substr(std::min(text.find_first_not_of('\n'), text.size()))
                     : std::string(jinja::strip_left(text));
  }
  if (text.empty()) return;
  may_think_ = false;
  channel_empty_ = false;
  if (!reasoning) {
    events.push_back({OutputEvent::Kind::kContent, std::move(text)});
    return;
  }
  text = std::move(held_space_) + text;
  const size_t size = jinja::strip_right(text).size();
  held_space_ = text.substr(size);
  text.resize(size);
  if (!text.empty()) events.push_back({OutputEvent::Kind::kReasoning, std::move(text)});
}

void OutputMachine::close_channel(std::vector<OutputEvent>& events) {
  if (!std::exchange(unfinished_, {}).empty()) add_text("\xEF\xBF\xBD", events);  // U+FFFD, once
  held_space_.clear();
  channel_empty_ = true;
}

void OutputMachine::end(std::vector<OutputEvent>& events) {
  close_channel(events);
  state_ = State::kEnd;
  events.push_back({OutputEvent::Kind::kEnd, {}});
}

}  // namespace sluice::chat
