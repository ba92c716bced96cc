// The turns of an encoded conversation, found again by their markers, for the engine's prefix
// cache: where messages end, and turns written with the very tokens that were sampled
// (serving-template.md 1.6, "exact turn memory").
//
// Decided on ids: text of a message never becomes a marker (template.h), so a marker is the
// template's own.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "chat/turn_memory.h"
#include "tokenizer/tokenizer.h"

namespace sluice::chat {

struct TurnMarkers {
  std::optional<tokenizer::TokenId> start, end;  // <|im_start|>, <|im_end|>
  std::optional<tokenizer::TokenId> result_end;  // </tool_response>
  std::optional<tokenizer::TokenId> thought;     // <think>
  std::vector<tokenizer::TokenId> assistant;     // the role behind a turn's start

  static TurnMarkers of(const tokenizer::Tokenizer& tokenizer);
};

using TokenSpan = std::span<const tokenizer::TokenId>;

// Where messages and tool results end: positions behind their last marker, ascending.
std::vector<int64_t> message_borders(TokenSpan prompt, const TurnMarkers& markers);

// The beginning of the answer's turn: the prompt from its last turn start on, if that is the
// assistant's and open. No tokens otherwise. What memory keeps of a turn begins with them.
struct OpenTurn {
  std::vector<tokenizer::TokenId> tokens;
  TurnPlace place = 0;
};
OpenTurn open_turn(TokenSpan prompt, const TurnMarkers& markers);

// `prompt` with each closed turn of the assistant that `memory` knows written as it was sampled.
// `messages`: the array that was rendered; `last_is_open`: its last message is being continued.
// Where the template did not make one turn of each assistant message, nothing is changed. A turn
// whose thought the template leaves out stays as it was rendered: that is the template's policy.
std::vector<tokenizer::TokenId> replay_turns(std::vector<tokenizer::TokenId> prompt,
                                             const Json& messages, bool last_is_open,
                                             std::string_view scope, TurnMemory& memory,
                                             const TurnMarkers& markers);

}  // namespace sluice::chat
