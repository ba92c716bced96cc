// Answers of /v1/responses, streamed with sequence numbers and whole (serving-openai.md 4.9).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "server/core/encoder.h"
#include "server/core/ids.h"

namespace sluice::server::openai {

struct ResponsesEncoderOptions {
  Json echoed;  // fields of the request that the response repeats
  bool summary = false, encrypted_content = false;
  IdSource ids = random_id;
  // The complete response, once, streamed or whole: for the store.
  std::function<void(const Json& response)> on_complete = nullptr;
};

// A whole answer is what the stream's last event holds: one way to build items, not two.
class ResponsesEncoder final : public AnswerEncoder {
 public:
  ResponsesEncoder(AnswerStart start, ResponsesEncoderOptions options);

  std::string begin() override;
  std::string event(int choice, const AnswerEvent& event) override;
  std::string end() override;
  std::string keep_alive(int64_t silent_seconds) override;
  std::string failure(const ApiError& error) override;
  Json whole(const std::vector<WholeChoice>& choices) override;

 private:
  enum class Item { kNone, kReasoning, kMessage, kCall };

  Json response(const char* status) const;
  Json final_response() const;
  std::string sse(const char* type, Json fields);
  Json place(bool with_content) const;  // item_id, output_index and content_index
  std::string open(Item kind, Json item);
  std::string close(const char* status);
  std::string close_reasoning(Json& item);
  std::string close_message(Json& item);
  std::string close_call(Json& item);
  Json item() const { return output_.items().back(); }

  const AnswerStart start_;
  const ResponsesEncoderOptions options_;
  const std::string id_;  // its own: a client may use one request id twice
  int64_t sequence_ = 0;
  Item open_ = Item::kNone;
  std::string text_;  // of the open item
  Json output_ = Json::array();
  Finish finish_;
};

}  // namespace sluice::server::openai
