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

#include "chat/thinking.h"
#include "chat/tool_declaration.h"
#include "tokenizer/tokenizer.h"

namespace sluice::chat {

// Events come in order; texts of one channel belong together. Whole characters only.
//
// A call is kToolStart, any number of kToolArguments, kToolEnd; calls do not interleave. The joined
// fragments of a call are at any time a prefix of a JSON object, and the whole object at kToolEnd.
// kToolEnd is missing only if the output was cut within the call (finish(kCut)). Ids of calls are
// the protocol's business.
struct OutputEvent {
  enum class Kind { kReasoning, kContent, kToolStart, kToolArguments, kToolEnd, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;  // reasoning, content; the function's name; a fragment of arguments
  int call = -1;     // of the tool events: dense from 0

  friend bool operator==(const OutputEvent&, const OutputEvent&) = default;
};

// What the machine needs to know of the tokenizer; a test may answer from a table.
struct OutputVocabulary {
  std::function<std::string_view(tokenizer::TokenId)> bytes;
  std::function<bool(tokenizer::TokenId)> is_special;  // gives no text
  ThinkMarkers think;
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
  int calls() const { return 0; }
  // After a cut within a call: what makes its arguments whole JSON ("\"}"). Whole answers append
  // it, streams stop (serving-tools.md 3.4). Empty otherwise.
  std::string arguments_completion() const { return {}; }
  // Tokens sampled within the thought, the closing one included.
  int64_t reasoning_tokens() const { return reasoning_tokens_; }

 private:
  enum class State { kReasoning, kContent, kEnd };

  void push_one(tokenizer::TokenId id, std::vector<OutputEvent>& events);
  void add_bytes(std::string_view bytes, std::vector<OutputEvent>& events);
  void add_text(std::string text, std::vector<OutputEvent>& events);
  void close_channel(std::vector<OutputEvent>& events);  // the end of reasoning or content
  void end(std::vector<OutputEvent>& events);

  const OutputVocabulary vocabulary_;
  State state_;
  std::string unfinished_;  // bytes of a character that is not complete yet
  std::string held_space_;  // reasoning: white space that is dropped if nothing follows
  bool channel_empty_ =
      true;  // nothing was sent on the present channel: leading white space is dropped
  bool may_think_ = true;  // an opening marker here still begins a thought: only white space so far
  int64_t reasoning_tokens_ = 0;
};

}  // namespace sluice::chat
