// Answers of /v1/completions, streamed and whole (serving-openai.md 4.6).
#pragma once

#include <string>
#include <vector>

#include "server/core/encoder.h"
#include "server/openai/completions_request.h"

namespace sluice::server::openai {

struct CompletionsEncoderOptions {
  StreamOptions stream;
  bool echo = false, logprobs = false;
  int64_t samples = 1;                              // per prompt
  const tokenizer::Tokenizer* tokenizer = nullptr;  // outlives the encoder
};

class CompletionsEncoder final : public AnswerEncoder {
 public:
  CompletionsEncoder(AnswerStart start, CompletionsEncoderOptions options);

  std::string begin() override;
  std::string event(int choice, const AnswerEvent& event) override;
  std::string end() override;
  std::string keep_alive(int64_t silent_seconds) override;
  std::string failure(const ApiError& error) override;
  Json whole(const std::vector<WholeChoice>& choices) override;

 private:
  Json envelope() const;
  std::string chunk(int choice, const std::string& text,
                    const std::vector<runtime::SampledToken>& tokens, const Finish* finish);
  const std::vector<TokenId>* prompt_of(size_t choice) const;  // null without echo
  // Tokens in the legacy arrays; offsets count characters from `offset` on, which moves.
  Json logprobs_json(const std::vector<runtime::SampledToken>& tokens, bool first_is_unknown,
                     int64_t& offset) const;

  const AnswerStart start_;
  const CompletionsEncoderOptions options_;
  std::vector<int64_t> offsets_;  // characters sent so far, by choice
  Usage usage_;
};

}  // namespace sluice::server::openai
