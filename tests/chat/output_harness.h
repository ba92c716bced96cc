// The output machine over a table of tokens that a test makes as it goes, and what its events add
// up to.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/output_machine.h"

namespace sluice::chat {

// Texts cut into tokens. The names of markers in a text become the markers; everything else is
// ordinary text, cut as asked.
class TokenTable {
 public:
  using Ids = std::vector<tokenizer::TokenId>;

  OutputVocabulary vocabulary() const {
    OutputVocabulary made;
    made.bytes = [this](tokenizer::TokenId id) -> std::string_view {
      return texts_[static_cast<size_t>(id)];
    };
    made.is_special = [](tokenizer::TokenId id) { return id == 4; };
    made.think = {std::nullopt, 0, 1};
    made.call_open = 2;
    made.call_close = 3;
    made.stop = {4};
    return made;
  }

  tokenizer::TokenId add(std::string_view text) {
    texts_.emplace_back(text);
    return static_cast<tokenizer::TokenId>(texts_.size() - 1);
  }

  // Cut before each byte for which `cut(offset)` says so, and around markers.
  template <typename Cut>
  Ids tokens(std::string_view text, Cut cut) {
    Ids ids;
    std::string piece;
    const auto flush = [&] {
      if (!piece.empty()) ids.push_back(add(std::exchange(piece, {})));
    };
    for (size_t at = 0; at < text.size();) {
      size_t marker = 0;
      while (marker < kMarkers && text.substr(at, texts_[marker].size()) != texts_[marker])
        ++marker;
      if (marker < kMarkers) {
        flush();
        ids.push_back(static_cast<tokenizer::TokenId>(marker));
        at += texts_[marker].size();
        continue;
      }
      if (cut(at)) flush();
      piece += text[at++];
    }
    flush();
    return ids;
  }

 private:
  static constexpr size_t kMarkers = 5;
  std::vector<std::string> texts_ = {"<think>", "</think>", "<tool_call>", "</tool_call>",
                                     "<|im_end|>"};
};

struct Call {
  std::string name, arguments;
  bool ended = false;
  friend bool operator==(const Call&, const Call&) = default;
};

// What the events of one answer add up to; `broken` names the first break of their grammar.
struct Answer {
  std::string reasoning, content;
  std::vector<Call> calls;
  bool ended = false;
  std::string broken;

  void add(const OutputEvent& event) {
    using Kind = OutputEvent::Kind;
    const bool in_call = !calls.empty() && !calls.back().ended;
    const bool of_tool = event.kind == Kind::kToolStart || event.kind == Kind::kToolArguments ||
                         event.kind == Kind::kToolEnd;
    if (ended) broken = "an event after the end";
    if (event.text.empty() != (event.kind == Kind::kToolEnd || event.kind == Kind::kEnd))
      broken = "an event with the wrong text";
    if (!of_tool && event.call != -1) broken = "a call's number on another event";
    if (of_tool && event.kind != Kind::kToolStart &&
        (!in_call || event.call != static_cast<int>(calls.size()) - 1))
      broken = "an event of no open call";
    if (event.kind == Kind::kToolStart && (in_call || event.call != static_cast<int>(calls.size())))
      broken = "a call within a call";
    if (in_call && (event.kind == Kind::kContent || event.kind == Kind::kReasoning))
      broken = "text within a call";
    if (!broken.empty()) return;
    if (event.kind == Kind::kReasoning) reasoning += event.text;
    if (event.kind == Kind::kContent) content += event.text;
    if (event.kind == Kind::kToolStart) calls.push_back({event.text, {}, false});
    if (event.kind == Kind::kToolArguments) calls.back().arguments += event.text;
    if (event.kind == Kind::kToolEnd) calls.back().ended = true;
    if (event.kind == Kind::kEnd) ended = true;
  }
  friend bool operator==(const Answer&, const Answer&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Answer& answer) {
    out << "reasoning [" << answer.reasoning << "] content [" << answer.content << "]";
    for (const Call& call : answer.calls)
      out << " " << call.name << " [" << call.arguments << "]" << (call.ended ? "" : " open");
    return out << (answer.ended ? "" : " not ended") << answer.broken;
  }
};

// The answer of `machine` to `ids`, one at a time. Besides the grammar of the events: at any time a
// call's fragments are a prefix of JSON that the machine's completion makes whole.
inline Answer play(OutputMachine& machine, const TokenTable::Ids& ids, OutputEnd how) {
  Answer answer;
  const auto take = [&](const std::vector<OutputEvent>& events) {
    for (const OutputEvent& event : events) answer.add(event);
    if (answer.calls.empty() || !answer.broken.empty()) return;
    const std::string whole = answer.calls.back().arguments + machine.arguments_completion();
    const auto json = parse_json(whole);
    if (!json.ok() || !json->is_object()) answer.broken = "arguments are no prefix: " + whole;
    if (answer.calls.back().ended && !machine.arguments_completion().empty())
      answer.broken = "an ended call that is open";
  };
  for (const tokenizer::TokenId id : ids) take(machine.push(std::span(&id, 1)));
  take(machine.finish(how));
  if (!answer.ended && answer.broken.empty()) answer.broken = "no end";
  return answer;
}

}  // namespace sluice::chat
