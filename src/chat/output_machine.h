// The model's output, token by token, as reasoning and content (serving-reasoning.md 2.2).
//
// One machine for all protocols, streaming or not; it looks at ids, so that a "</think>" made of
// ordinary tokens is text. Tool calls pass through as content text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "chat/thinking.h"
#include "tokenizer/tokenizer.h"

namespace sluice::chat {

// Events come in order; texts of one channel belong together. Whole characters only.
struct OutputEvent {
  enum class Kind { kReasoning, kContent, kEnd };  // tool calls will get kinds of their own
  Kind kind = Kind::kEnd;
  std::string text;

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

class OutputMachine {
 public:
  OutputMachine(OutputVocabulary vocabulary, bool starts_in_reasoning);

  // Tokens as they were sampled. A token gives the same events whether it comes alone or with
  // others. Nothing after the end.
  std::vector<OutputEvent> push(std::span<const tokenizer::TokenId> ids);
  // The end by length, stop string or cancellation: what is held back, then kEnd. Nothing if it
  // ended already.
  std::vector<OutputEvent> finish();

  bool in_reasoning() const { return state_ == State::kReasoning; }
  bool ended() const { return state_ == State::kEnd; }
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
