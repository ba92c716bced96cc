// From an answer's events to what a protocol sends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "server/core/answer.h"
#include "server/core/api_error.h"

namespace sluice::server {

// What is known when a request is admitted.
struct AnswerStart {
  std::string id;       // of the request, without a protocol's prefix
  int64_t created = 0;  // Unix time
  std::string model;    // as the client named it
  int64_t prompt_tokens = 0;
  int64_t choices = 1;                        // over all prompts
  std::vector<std::vector<TokenId>> prompts;  // for echo
};

// All events of one choice, joined: what a whole answer is made of.
struct WholeCall {
  std::string name, arguments;
  bool complete = false;  // not cut
};
struct WholeChoice {
  std::string reasoning, content;
  std::vector<WholeCall> calls;
  std::vector<runtime::SampledToken> tokens;
  std::vector<runtime::SampledToken>
      prompt_tokens;  // with prompt log probabilities; from the second
  Finish finish;

  void add(const AnswerEvent& event);
  // The assistant's message that this is, as a client sends it back.
  Json message() const;
};

// Sums over choices; the prompt counts once for each prompt.
struct Usage {
  int64_t prompt = 0, cached = 0, completion = 0, reasoning = 0;
  void add(const Finish& finish, bool first_of_prompt);
};

// A stream's encoder is a state machine; a whole answer uses whole() alone. Pure: no clock, no
// input or output.
class AnswerEncoder {
 public:
  virtual ~AnswerEncoder() = default;
  virtual std::string begin() = 0;  // the request is admitted
  // A choice has its place in the batch; so many tokens of its prompt need not be read.
  virtual std::string started(int64_t /*cached_tokens*/) { return {}; }
  virtual std::string event(int choice, const AnswerEvent& event) = 0;
  virtual std::string end() = 0;
  // After `silent_seconds` without an event.
  virtual std::string keep_alive(int64_t silent_seconds) = 0;
  virtual std::string failure(const ApiError& error) = 0;  // in-stream; nothing follows
  virtual Json whole(const std::vector<WholeChoice>& choices) = 0;
};

}  // namespace sluice::server
