#include "server/openai/logprobs.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"

namespace sluice::server::openai {
namespace {

Json token_json(const tokenizer::Tokenizer& tokenizer, tokenizer::TokenId id, float logprob) {
  Json::Array bytes;
  for (const char byte : tokenizer.bytes(id))
    bytes.emplace_back(static_cast<int>(static_cast<unsigned char>(byte)));
  Json entry = Json::object();
  entry.set("token", token_text(tokenizer, id));
  entry.set("logprob", logprob_json(logprob));
  entry.set("bytes", std::move(bytes));
  return entry;
}

}  // namespace

Json logprob_json(float logprob) {
  constexpr double kLeast = -9999.0;
  return std::isfinite(logprob) ? std::max(static_cast<double>(logprob), kLeast) : kLeast;
}

std::string token_text(const tokenizer::Tokenizer& tokenizer, tokenizer::TokenId id) {
  return replace_invalid_utf8(tokenizer.bytes(id));
}

Json chat_logprobs(const tokenizer::Tokenizer& tokenizer,
                   const std::vector<runtime::SampledToken>& tokens) {
  Json::Array content;
  for (const runtime::SampledToken& token : tokens) {
    Json entry = token_json(tokenizer, token.id, token.logprob);
    Json::Array top;
    for (const auto& [id, logprob] : token.top) top.push_back(token_json(tokenizer, id, logprob));
    entry.set("top_logprobs", std::move(top));
    content.push_back(std::move(entry));
  }
  Json logprobs = Json::object();
  logprobs.set("content", std::move(content));
  logprobs.set("refusal", Json());
  return logprobs;
}

}  // namespace sluice::server::openai
