// Answers of /v1/messages, streamed and whole (serving-anthropic.md 5.5, 5.6).
#pragma once

#include <string>
#include <vector>

#include "server/core/encoder.h"
#include "server/core/ids.h"

namespace sluice::server::anthropic {

struct MessagesEncoderOptions {
  bool thinking_omitted = false;
  IdSource ids = random_id;
};

// Blocks are strictly one after the other with dense indices: clients append in order of arrival
// and then look up by index.
class MessagesEncoder final : public AnswerEncoder {
 public:
  MessagesEncoder(AnswerStart start, MessagesEncoderOptions options);

  // The message starts when it is known how much of its prompt was cached, since `usage` stands in
  // its first event; clients that look no further count from there.
  std::string begin() override { return {}; }
  std::string started(int64_t cached_tokens) override;
  std::string event(int choice, const AnswerEvent& event) override;
  std::string end() override;
  std::string keep_alive(int64_t silent_seconds) override;
  std::string failure(const ApiError& error) override;
  Json whole(const std::vector<WholeChoice>& choices) override;

 private:
  enum class Block { kNone, kThinking, kText, kTool };

  std::string open(Block kind, Json content);
  std::string close();
  std::string delta(const char* type, const char* name, const std::string& text) const;
  Json message(Json content, Json stop_reason, Json stop_sequence, Json usage) const;

  const AnswerStart start_;
  const MessagesEncoderOptions options_;
  bool started_ = false;
  Block block_ = Block::kNone;
  int index_ = -1;       // of the newest block
  std::string thought_;  // of the open thinking block, for its signature
  bool said_ = false;    // a text or a call has been sent
};

}  // namespace sluice::server::anthropic
