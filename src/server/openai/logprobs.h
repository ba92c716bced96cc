// Log probabilities as OpenAI's two routes show them (serving-openai.md 4.3 and 4.6).
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "runtime/engine.h"
#include "tokenizer/tokenizer.h"

namespace sluice::server::openai {

// Minus infinity has no spelling in JSON.
Json logprob_json(float logprob);
// A token as text: bytes that are no whole characters replaced.
std::string token_text(const tokenizer::Tokenizer& tokenizer, tokenizer::TokenId id);
// {"content":[{"token","logprob","bytes","top_logprobs"}],"refusal":null}
Json chat_logprobs(const tokenizer::Tokenizer& tokenizer,
                   const std::vector<runtime::SampledToken>& tokens);

}  // namespace sluice::server::openai
