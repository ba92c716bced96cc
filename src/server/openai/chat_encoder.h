// Answers of /v1/chat/completions, streamed and whole (serving-openai.md 4.3, 4.10).
#pragma once

#include <string>
#include <vector>

#include "server/core/encoder.h"
#include "server/core/ids.h"
#include "server/openai/chat_request.h"

namespace sluice::server::openai {

enum class ReasoningField { kBoth, kReasoning, kReasoningContent, kNone };

struct ChatEncoderOptions {
  ReasoningField reasoning_field = ReasoningField::kBoth;
  StreamOptions stream;
  bool inline_reasoning = false, hold_reasoning = false, logprobs = false;
  const tokenizer::Tokenizer* tokenizer = nullptr;  // for log probabilities; outlives the encoder
  IdSource ids = random_id;
};

class ChatEncoder final : public AnswerEncoder {
 public:
  ChatEncoder(AnswerStart start, ChatEncoderOptions options);

  std::string begin() override;
  std::string event(int choice, const AnswerEvent& event) override;
  std::string end() override;
  std::string keep_alive(int64_t silent_seconds) override;
  std::string failure(const ApiError& error) override;
  Json whole(const std::vector<WholeChoice>& choices) override;

 private:
  struct Channel {
    std::string held_reasoning;
    bool thinking = false;  // an inline thought is open
  };

  bool inlined() const;
  std::string chunk(int choice, Json delta, const AnswerEvent* event);
  std::string reasoning(int choice, const std::string& text);
  std::string leave_reasoning(int choice);
  void add_reasoning(Json& target, const std::string& text) const;
  Json envelope(const char* object) const;

  const AnswerStart start_;
  const ChatEncoderOptions options_;
  std::vector<Channel> channels_;
  Usage usage_;
};

// "stop", "length", "tool_calls".
const char* finish_reason(const Finish& finish);
Json stop_reason(const Finish& finish);  // the string or the id, or null
Json usage_json(const Usage& usage);
std::string data_line(const Json& json);  // one event of a stream

}  // namespace sluice::server::openai
