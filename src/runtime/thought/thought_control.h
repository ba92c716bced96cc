// Ends a thought that is over budget or loops, by forcing its closing tokens
// (spec/serving-reasoning.md 2.6).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/thought/loop_detector.h"

namespace sluice::runtime {

struct ThoughtOptions {
  TokenId open = -1,
          close =
              -1;  // <think>, </think>; -1: the model has no such markers, nothing is ever forced
  // What is forced: the budget's message, the closer and the empty line, as tokens. The closer must
  // be among them.
  std::vector<TokenId> closing;
  int64_t budget = -1;  // tokens of thought allowed; -1 unlimited
  // Tokens kept free for the answer below max_tokens: forcing starts early enough to leave them. 0:
  // none.
  int64_t reserve_answer_tokens = 0;
  bool break_loops = true;
  LoopThresholds loop;
};

// One per choice; moves with the sequence. push() every accepted token in order; before each token
// ask forced().
class ThoughtControl {
 public:
  // `prompt` decides whether the answer starts inside a thought and how much of it the prompt holds
  // already.
  ThoughtControl(ThoughtOptions options, const std::vector<TokenId>& prompt, int64_t max_tokens);

  // The token that has to come next, whatever the model says. With drafts: ask per verified row, in
  // order.
  std::optional<TokenId> forced() const;

  // `bytes` are the token's, to know whether a character is unfinished: forcing waits for its end.
  void push(TokenId token, std::string_view bytes);

  bool in_thought() const { return in_thought_; }
  int64_t thought_tokens() const { return thought_tokens_; }
  // Why the thought was closed by force: "budget", "reserve" or "loop"; nothing if it was not.
  const std::optional<std::string>& stop_reason() const { return stop_reason_; }

 private:
  void start_forcing(std::string reason);

  ThoughtOptions options_;
  int64_t max_tokens_;
  int64_t sampled_ = 0;
  bool in_thought_ = false;
  int64_t thought_tokens_ = 0;
  std::string tail_;                   // last bytes, to see an unfinished character
  std::optional<size_t> next_forced_;  // index into options_.closing
  std::optional<std::string> stop_reason_;
  LoopDetector detector_;
};

}  // namespace sluice::runtime
