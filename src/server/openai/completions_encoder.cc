#include "server/openai/completions_encoder.h"

#include <algorithm>

#include "server/openai/chat_encoder.h"
#include "server/openai/errors.h"
#include "server/openai/logprobs.h"

namespace sluice::server::openai {
namespace {

using Kind = AnswerEvent::Kind;

int64_t characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

// The likeliest tokens and the one that was taken, as a map from text. Two tokens of the same text
// collide: the likelier stays.
Json top_json(const tokenizer::Tokenizer& tokenizer, const runtime::SampledToken& token) {
  Json top = Json::object();
  std::vector<runtime::TokenLogprob> entries = token.top;
  entries.push_back({token.id, token.logprob});
  for (const auto& [id, logprob] : entries) {
    const std::string text = token_text(tokenizer, id);
    const Json* known = top.find(text);
    const Json value = logprob_json(logprob);
    if (known == nullptr || *known->as_double() < *value.as_double()) top.set(text, value);
  }
  return top;
}

}  // namespace

CompletionsEncoder::CompletionsEncoder(AnswerStart start, CompletionsEncoderOptions options)
    : start_(std::move(start)),
      options_(std::move(options)),
      offsets_(static_cast<size_t>(start_.choices)) {}

Json CompletionsEncoder::envelope() const {
  Json body = Json::object();
  body.set("id", "cmpl-" + start_.id);
  body.set("object", "text_completion");
  body.set("created", start_.created);
  body.set("model", start_.model);
  return body;
}

const std::vector<TokenId>* CompletionsEncoder::prompt_of(size_t choice) const {
  return options_.echo ? &start_.prompts[choice / static_cast<size_t>(options_.samples)] : nullptr;
}

Json CompletionsEncoder::logprobs_json(const std::vector<runtime::SampledToken>& tokens,
                                       bool first_is_unknown, int64_t& offset) const {
  Json::Array texts, values, tops, places;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool unknown = first_is_unknown && i == 0;
    const std::string text = token_text(*options_.tokenizer, tokens[i].id);
    texts.emplace_back(text);
    values.push_back(unknown ? Json() : logprob_json(tokens[i].logprob));
    tops.push_back(unknown ? Json() : top_json(*options_.tokenizer, tokens[i]));
    places.emplace_back(offset);
    offset += characters(text);
  }
  Json json = Json::object();
  json.set("tokens", std::move(texts));
  json.set("token_logprobs", std::move(values));
  json.set("top_logprobs", std::move(tops));
  json.set("text_offset", std::move(places));
  return json;
}

std::string CompletionsEncoder::chunk(int choice, const std::string& text,
                                      const std::vector<runtime::SampledToken>& tokens,
                                      const Finish* finish) {
  Json entry = Json::object();
  entry.set("index", choice);
  entry.set("text", text);
  const bool logprobs = options_.logprobs && !tokens.empty();
  entry.set("logprobs", logprobs
                            ? logprobs_json(tokens, false, offsets_[static_cast<size_t>(choice)])
                            : Json());
  entry.set("finish_reason", finish != nullptr ? Json(finish_reason(*finish)) : Json());
  entry.set("stop_reason", finish != nullptr ? stop_reason(*finish) : Json());
  Json body = envelope();
  body.set("choices", Json::Array{std::move(entry)});
  if (options_.stream.include_usage) body.set("usage", Json());
  return data_line(body);
}

std::string CompletionsEncoder::begin() {
  std::string text;
  for (int choice = 0; choice < start_.choices; ++choice) {
    const auto* prompt = prompt_of(static_cast<size_t>(choice));
    if (prompt != nullptr)
      text += chunk(choice, options_.tokenizer->decode(*prompt, false), {}, nullptr);
  }
  return text;
}

std::string CompletionsEncoder::event(int choice, const AnswerEvent& event) {
  if (event.kind == Kind::kContent) return chunk(choice, event.text, event.tokens, nullptr);
  if (event.kind != Kind::kFinish) return {};
  usage_.add(*event.finish, choice % options_.samples == 0);
  return chunk(choice, "", event.tokens, &*event.finish);
}

std::string CompletionsEncoder::end() {
  std::string text;
  if (options_.stream.include_usage) {
    Json body = envelope();
    body.set("choices", Json::array());
    body.set("usage", usage_json(usage_));
    text += data_line(body);
  }
  return text + "data: [DONE]\n\n";
}

std::string CompletionsEncoder::keep_alive(int64_t) { return ": ping\n\n"; }

std::string CompletionsEncoder::failure(const ApiError& error) {
  return data_line(error_json(error)) + "data: [DONE]\n\n";
}

Json CompletionsEncoder::whole(const std::vector<WholeChoice>& choices) {
  Usage usage;
  Json::Array entries;
  for (size_t i = 0; i < choices.size(); ++i) {
    const WholeChoice& choice = choices[i];
    usage.add(choice.finish, i % static_cast<size_t>(options_.samples) == 0);
    const auto* prompt = prompt_of(i);
    std::string text = choice.content;
    std::vector<runtime::SampledToken> tokens = choice.tokens;
    if (prompt != nullptr) {
      text = options_.tokenizer->decode(*prompt, false) + text;
      // Nothing stands before the first token, so nothing can be said of it.
      std::vector<runtime::SampledToken> all = {{prompt->front(), 0, {}}};
      all.insert(all.end(), choice.prompt_tokens.begin(), choice.prompt_tokens.end());
      all.insert(all.end(), tokens.begin(), tokens.end());
      tokens = std::move(all);
    }
    int64_t offset = 0;
    Json entry = Json::object();
    entry.set("index", static_cast<int64_t>(i));
    entry.set("text", std::move(text));
    entry.set("logprobs",
              options_.logprobs ? logprobs_json(tokens, prompt != nullptr, offset) : Json());
    entry.set("finish_reason", finish_reason(choice.finish));
    entry.set("stop_reason", stop_reason(choice.finish));
    entries.push_back(std::move(entry));
  }
  Json body = envelope();
  body.set("choices", std::move(entries));
  body.set("usage", usage_json(usage));
  return body;
}

}  // namespace sluice::server::openai
