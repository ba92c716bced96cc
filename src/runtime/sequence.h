// One running sequence: its tokens, what of them the model has processed, and where its state lies.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine.h"
#include "runtime/spec/depth_controller.h"
#include "runtime/stop_matcher.h"

namespace sluice::runtime {

using Clock = std::chrono::steady_clock;

struct Sequence {
  RequestId id = 0;
  Request request;
  Listener* listener = nullptr;

  std::vector<TokenId> tokens;  // prompt, then every accepted token
  int64_t prompt_length = 0;
  // Tokens [0, processed) have their keys and values in the cache and are in the recurrent state,
  // where the last `commit` of them still wait as pending rows.
  int64_t processed = 0;
  int32_t commit = 0;
  std::vector<TokenId> drafts;  // proposals for the tokens after tokens.back()

  // What the scheduler goes by while the prompt is being read.
  int64_t rows_before = 0;  // rows of prompts that the engine had read when this one began
  int64_t last_read = 0;    // the step that last read of it, counted from 1

  bool row_follows = false;  // while sampling a step: the next row continues what was accepted

  int32_t slot = -1;
  std::vector<int32_t> pages;

  // The prefix cache's account of it (cache/prefix_cache.h).
  int64_t begin = 0;            // tokens that were known when it began
  int64_t held_pages = 0;       // the first so many pages hang in the tree
  bool behind_answer = false;   // it goes on behind rows that were made while answering
  std::vector<int64_t> places;  // still ahead: where the state is to be saved; steps end there
  RequestId waited_for = 0;     // a request is held back for another at most once

  int64_t token_limit = 0;  // tokens.size() must not exceed it
  TokenCounts counts;
  std::optional<ThoughtControl> thought;
  std::unique_ptr<TokenMask> mask;                  // of the request's grammar, if it has one
  std::optional<tokenizer::StreamDecoder> decoder;  // none without a tokenizer
  StopMatcher matcher;

  std::optional<DepthController> depth;  // with adaptive drafts
  DraftCounts draft_counts;
  Clock::time_point submitted, started, first_token;
  std::optional<FinishReason> finished;
  RequestReport report;

  Sequence(RequestId sequence_id, Request r, Listener* l, const tokenizer::Tokenizer* tokenizer)
      : id(sequence_id), request(std::move(r)), listener(l), matcher(request.stop_strings) {
    if (tokenizer != nullptr) decoder.emplace(*tokenizer, true);
  }

  std::string decode(TokenId token) { return decoder ? decoder->push(token) : std::string(); }
  bool reading_prompt() const { return processed < prompt_length; }
  int64_t output_tokens() const { return static_cast<int64_t>(tokens.size()) - prompt_length; }
  int64_t tokens_left() const { return token_limit - static_cast<int64_t>(tokens.size()); }
};

}  // namespace sluice::runtime
