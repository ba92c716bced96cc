#include "chat/output_machine.h"

#include <algorithm>

#include "base/utf8.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat {

using tokenizer::TokenId;

namespace {

constexpr std::string_view kFunction = "<function=";
// How many tokens an opener of a call may wait for its function (serving-reasoning.md 2.2).
constexpr int kMaxHeldTokens = 16;

}  // namespace

OutputVocabulary OutputVocabulary::of(const tokenizer::Tokenizer& tokenizer,
                                      std::vector<TokenId> stop) {
  return {[&tokenizer](TokenId id) { return tokenizer.bytes(id); },
          [&tokenizer](TokenId id) { return tokenizer.is_special(id); },
          ThinkMarkers::of(tokenizer),
          tokenizer.find_added("<tool_call>"),
          tokenizer.find_added("</tool_call>"),
          std::move(stop)};
}

OutputMachine::OutputMachine(OutputVocabulary vocabulary, OutputOptions options)
    : vocabulary_(std::move(vocabulary)),
      parse_tools_(options.parse_tools),
      parallel_calls_(options.parallel_calls),
      parser_(std::move(options.tools), options.parallel_calls),
      state_(options.starts_in_reasoning ? State::kReasoning : State::kContent),
      may_think_(!options.starts_in_reasoning) {}

std::vector<OutputEvent> OutputMachine::push(std::span<const TokenId> ids) {
  Events events;
  for (const TokenId id : ids) {
    Events of_one;  // what one token says does not depend on its company
    push_one(id, of_one);
    std::move(of_one.begin(), of_one.end(), std::back_inserter(events));
  }
  return events;
}

std::vector<OutputEvent> OutputMachine::finish(OutputEnd how) {
  Events events;
  if (ended()) return events;
  feed_marker(how == OutputEnd::kCut ? kEndCut : kEndStopped, events);
  return events;
}

void OutputMachine::push_one(TokenId id, Events& events) {
  if (ended()) return;
  if (std::find(vocabulary_.stop.begin(), vocabulary_.stop.end(), id) != vocabulary_.stop.end()) {
    events = finish(OutputEnd::kStopped);
    return;
  }
  const bool was_reasoning = state_ == State::kReasoning;
  const int calls_before = parser_.calls();
  if (const std::optional<char> marker = marker_of(id)) {
    feed_marker(*marker, events);
  } else if (!vocabulary_.is_special(id)) {
    feed_bytes(vocabulary_.bytes(id), events);
  }
  count(was_reasoning, calls_before);
  if (parser_.waiting() && held_tokens_ >= kMaxHeldTokens) {
    parser_.give_up();
    take_rejected();
    run(events);
  }
}

// Tokens from an undecided opener on are the thought's only if they turn out to be no call
// (take_rejected()).
void OutputMachine::count(bool was_reasoning, int calls_before) {
  if (parser_.undecided()) {
    ++held_tokens_;
    return;
  }
  held_tokens_ = 0;
  if (parser_.calls() != calls_before) return;
  if (was_reasoning || state_ == State::kReasoning) ++reasoning_tokens_;
}

std::optional<char> OutputMachine::marker_of(TokenId id) const {
  if (id == vocabulary_.think.open) return kThinkOpen;
  if (id == vocabulary_.think.close) return kThinkClose;
  if (parse_tools_ && id == vocabulary_.call_open) return kCallOpen;
  if (parse_tools_ && id == vocabulary_.call_close) return kCallClose;
  return std::nullopt;
}

void OutputMachine::feed_bytes(std::string_view bytes, Events& events) {
  std::string text = std::move(unfinished_) + std::string(bytes);
  const size_t whole = text.size() - incomplete_utf8_suffix(text);
  unfinished_ = text.substr(whole);
  text.resize(whole);
  input_.append(replace_invalid_utf8(text));
  run(events);
}

void OutputMachine::feed_marker(char marker, Events& events) {
  // A character that a marker cuts is one replacement character.
  if (!std::exchange(unfinished_, {}).empty()) input_.append("\xEF\xBF\xBD");
  input_.append({&marker, 1});
  run(events);
}

void OutputMachine::run(Events& events) {
  while (!input_.empty() && !ended()) {
    if (parser_.active()) {
      add_text(events);
      run_parser(events);
    } else {
      step_channel(input_.take(), events);
    }
  }
  add_text(events);
}

void OutputMachine::run_parser(Events& events) {
  const int calls_before = parser_.calls();
  const ToolCallParser::Outcome outcome = parser_.consume(input_, events);
  // A call ends a thought that was left open.
  if (parser_.calls() != calls_before) change_channel(State::kContent);
  if (outcome == ToolCallParser::Outcome::kNotACall) take_rejected();
  if (outcome == ToolCallParser::Outcome::kDone) {
    change_channel(State::kContent);
    if (!parallel_calls_) end(events);
  }
}

void OutputMachine::take_rejected() {
  if (state_ == State::kReasoning) reasoning_tokens_ += held_tokens_;
  held_tokens_ = 0;
  pending_ += parser_.rejected();
  line_start_ = pending_.ends_with('\n');
}

void OutputMachine::step_channel(char c, Events& events) {
  if (is_marker(c)) {
    pending_ += std::exchange(bare_call_, {});
    step_marker(c, events);
    return;
  }
  const bool may_call = parse_tools_ && state_ == State::kContent;
  if (may_call && (!bare_call_.empty() || (line_start_ && c == '<'))) {
    bare_call_ += c;
    if (const ToolDeclaration* tool = bare_call()) {
      add_text(events);
      change_channel(State::kContent);
      parser_.open_named(tool->name, events);
      return;
    }
    if (could_be_bare_call()) return;
    pending_ += std::exchange(bare_call_, {});
  } else {
    pending_ += c;
  }
  line_start_ = c == '\n';
}

void OutputMachine::step_marker(char marker, Events& events) {
  add_text(events);
  if (is_end(marker)) {
    end(events);
  } else if (marker == kThinkClose) {
    // A second one in the content says nothing new: dropped.
    if (state_ == State::kReasoning) change_channel(State::kContent);
  } else if (marker == kThinkOpen && (state_ == State::kReasoning || may_think_)) {
    // In content: a model that thinks although the prompt did not open a thought.
    if (state_ != State::kReasoning) change_channel(State::kReasoning);
    may_think_ = false;
  } else if (marker == kCallOpen) {
    parser_.open();
  } else {
    pending_ += marker_text(marker);
    line_start_ = false;
  }
}

// "<function=NAME>" of a declared function, whole.
const ToolDeclaration* OutputMachine::bare_call() const {
  if (!bare_call_.ends_with('>') || !bare_call_.starts_with(kFunction)) return nullptr;
  const std::string_view name(bare_call_.data() + kFunction.size(),
                              bare_call_.size() - kFunction.size() - 1);
  for (const ToolDeclaration& tool : parser_.tools()) {
    if (tool.name == name) return &tool;
  }
  return nullptr;
}

bool OutputMachine::could_be_bare_call() const {
  if (kFunction.starts_with(bare_call_)) return true;
  if (!bare_call_.starts_with(kFunction)) return false;
  const std::string_view name = std::string_view(bare_call_).substr(kFunction.size());
  const auto& tools = parser_.tools();
  return std::any_of(tools.begin(), tools.end(),
                     [&](const ToolDeclaration& tool) { return tool.name.starts_with(name); });
}

// Reasoning loses line breaks at its begin and white space at its end, content white space at its
// begin: the template trims both when the message comes back, so nothing is lost.
void OutputMachine::add_text(Events& events) {
  std::string text = std::exchange(pending_, {});
  const bool reasoning = state_ == State::kReasoning;
  if (channel_empty_) {
    text = reasoning ? text.substr(std::min(text.find_first_not_of('\n'), text.size()))
                     : std::string(jinja::strip_left(text));
  }
  if (text.empty()) return;
  may_think_ = false;
  channel_empty_ = false;
  if (!reasoning) return emit(OutputEvent::Kind::kContent, std::move(text), events);
  text = std::move(held_space_) + text;
  const size_t size = jinja::strip_right(text).size();
  held_space_ = text.substr(size);
  text.resize(size);
  if (!text.empty()) emit(OutputEvent::Kind::kReasoning, std::move(text), events);
}

void OutputMachine::emit(OutputEvent::Kind kind, std::string text, Events& events) {
  if (!events.empty() && events.back().kind == kind) {
    events.back().text += text;
  } else {
    events.push_back({kind, std::move(text)});
  }
}

void OutputMachine::change_channel(State to) {
  state_ = to;
  held_space_.clear();
  bare_call_.clear();
  channel_empty_ = true;
  line_start_ = true;
  if (parser_.calls() > 0) may_think_ = false;
}

void OutputMachine::end(Events& events) {
  change_channel(State::kEnd);
  events.push_back({OutputEvent::Kind::kEnd, {}});
}

}  // namespace sluice::chat
