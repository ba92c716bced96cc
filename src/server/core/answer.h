// One choice of an answer: tokens of the engine in, typed events out. Every protocol, streaming or
// not, encodes these events and nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "chat/output_machine.h"
#include "runtime/engine.h"
#include "runtime/stop_matcher.h"
#include "server/core/request.h"

namespace sluice::server {

struct Finish {
  enum class Cause {
    kEndOfTurn,
    kStopString,
    kStopId,       // one of the request's own
    kToolCall,     // ended after the first call, parallel calls being off
    kLength,       // max_tokens
    kContextFull,  // as kLength, but the client had allowed more
  };
  Cause cause = Cause::kEndOfTurn;
  std::optional<std::string> stop_string;
  std::optional<TokenId> stop_id;
  std::optional<std::string> thought_stop;  // "budget", "reserve", "loop"
  int calls = 0;
  bool named_call = false;           // the request forced a call of the tool that it named
  std::string arguments_completion;  // what makes a call's arguments whole after a cut
  int64_t completion_tokens = 0, reasoning_tokens = 0;
  runtime::RequestReport report;
};

struct AnswerEvent {
  enum class Kind { kReasoning, kContent, kToolStart, kToolArguments, kToolEnd, kFinish };
  Kind kind = Kind::kFinish;
  std::string text;  // of reasoning and content; the function's name; a fragment of arguments
  int call = -1;
  // Content tokens whose text ends within this event; only if log probabilities were asked for.
  // The finish carries those that have no text.
  std::vector<runtime::SampledToken> tokens = {};
  std::optional<Finish> finish = {};  // with kFinish
};

class Answer {
 public:
  // `tokenizer` must outlive this. `stop_ids`: the model's own.
  Answer(const GenerationRequest& request, const tokenizer::Tokenizer& tokenizer,
         const std::vector<TokenId>& stop_ids, bool thinking_open);

  // What the token makes known; nothing once the answer has ended.
  std::vector<AnswerEvent> on_token(const runtime::SampledToken& token);
  // The last events; kFinish is the very last.
  std::vector<AnswerEvent> on_finish(const runtime::RequestReport& report);

  // The answer is complete although the engine goes on: a stop string, a single call. Cancel it.
  bool wants_no_more() const { return ended_; }

 private:
  void take(const chat::OutputEvent& event, std::vector<AnswerEvent>& events);
  void add_reasoning(const std::string& text, std::vector<AnswerEvent>& events);
  void flush_reasoning(std::vector<AnswerEvent>& events);
  void add_content(const std::string& text, std::vector<AnswerEvent>& events);
  void emit_content(std::string text, std::vector<AnswerEvent>& events);
  void flush_content(std::vector<AnswerEvent>& events);
  bool is_own_stop(TokenId id) const;

  const StopPolicy stop_;
  const bool split_, reasoning_shown_, logprobs_, all_logprobs_, named_call_;
  const int64_t min_tokens_;
  const std::optional<int64_t> max_tokens_;
  chat::OutputMachine machine_;
  tokenizer::StreamDecoder decoder_;  // of raw answers
  std::vector<TokenId> stop_ids_;     // those that end the answer
  runtime::StopMatcher matcher_, thought_matcher_;
  std::vector<runtime::SampledToken> pending_;  // content tokens whose text is not out yet
  int64_t tokens_ = 0;
  bool ended_ = false, single_call_ = false;
};

}  // namespace sluice::server
