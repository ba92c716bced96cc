// The model's output, token by token, as reasoning, content and tool calls (serving-reasoning.md
// 2.2, serving-tools.md 3.2).
//
// One machine for all protocols, streaming or not; it looks at ids, so that a "</think>" made of
// ordinary tokens is text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chat/calls/markup.h"
#include "chat/calls/tool_call_parser.h"
#include "chat/output_event.h"
#include "chat/thinking.h"
#include "chat/tool_declaration.h"
#include "tokenizer/tokenizer.h"

namespace sluice::chat {

// What the machine needs to know of the tokenizer; a test may answer from a table.
struct OutputVocabulary {
  std::function<std::string_view(tokenizer::TokenId)> bytes;
  std::function<bool(tokenizer::TokenId)> is_special;  // gives no text
  ThinkMarkers think;
  std::optional<tokenizer::TokenId> call_open, call_close;  // <tool_call>, </tool_call>
  std::vector<tokenizer::TokenId> stop;

  // Borrows the tokenizer. Stop ids are the caller's (generation_config.json).
  static OutputVocabulary of(const tokenizer::Tokenizer& tokenizer,
                             std::vector<tokenizer::TokenId> stop);
};

struct OutputOptions {
  bool starts_in_reasoning = false;  // open_thought() of the prompt
  // Off: the markers of calls are plain text (no tools, tool_choice "none", the command line).
  bool parse_tools = false;
  // Names and schemas; unknown names still make calls, with all values strings.
  std::vector<ToolDeclaration> tools = {};
  // Off: the machine ends after the first complete call; ended() tells the caller to stop sampling.
  bool parallel_calls = true;
};

// How the sampling ended when no stop token said so.
enum class OutputEnd {
  kStopped,  // stop string, cancellation: as by a stop token, an open call is closed
  kCut,      // max_tokens, context: an open call stays as it is
};

class OutputMachine {
 public:
  OutputMachine(OutputVocabulary vocabulary, OutputOptions options);

  // Tokens as they were sampled. A token gives the same events whether it comes alone or with
  // others. Nothing after the end.
  std::vector<OutputEvent> push(std::span<const tokenizer::TokenId> ids);
  // The end of sampling without a stop token: what is held back, then kEnd. Nothing if it ended
  // already.
  std::vector<OutputEvent> finish(OutputEnd end);

  bool in_reasoning() const { return state_ == State::kReasoning; }
  bool ended() const { return state_ == State::kEnd; }
  // Calls begun so far.
  int calls() const { return parser_.calls(); }
  // After a cut within a call: what makes its arguments whole JSON ("\"}"). Whole answers append
  // it, streams stop (serving-tools.md 3.4). Empty otherwise.
  std::string arguments_completion() const { return parser_.arguments_completion(); }
  // Tokens sampled within the thought, the closing one included.
  int64_t reasoning_tokens() const { return reasoning_tokens_; }

 private:
  using Events = std::vector<OutputEvent>;
  enum class State { kReasoning, kContent, kEnd };

  void push_one(tokenizer::TokenId id, Events& events);
  std::optional<char> marker_of(tokenizer::TokenId id) const;
  void feed_bytes(std::string_view bytes, Events& events);
  void feed_marker(char marker, Events& events);
  void run(Events& events);
  void run_parser(Events& events);
  void step_channel(char c, Events& events);
  void step_marker(char marker, Events& events);
  void take_rejected();
  const ToolDeclaration* bare_call() const;
  bool could_be_bare_call() const;
  void add_text(Events& events);  // pending_ goes out on the present channel
  void emit(OutputEvent::Kind kind, std::string text, Events& events);
  void change_channel(State to);  // the end of reasoning or content
  void end(Events& events);
  void count(bool was_reasoning, int calls_before);

  const OutputVocabulary vocabulary_;
  const bool parse_tools_, parallel_calls_;
  ToolCallParser parser_;
  State state_;
  std::string unfinished_;  // bytes of a character that is not complete yet
  MarkedText input_;
  std::string pending_;     // text of the present channel, not yet trimmed and sent
  std::string bare_call_;   // content: a line's begin that may be a call without its marker
  bool line_start_ = true;  // content: the next character begins a line
  std::string held_space_;  // reasoning: white space that is dropped if nothing follows
  bool channel_empty_ =
      true;  // nothing was sent on the present channel: leading white space is dropped
  bool may_think_ = true;  // an opening marker here still begins a thought: only white space so far
  int64_t reasoning_tokens_ = 0;
  int held_tokens_ = 0;  // since an opener that is undecided
};

}  // namespace sluice::chat
