// Whether a prompt leaves the model within a thought (serving-reasoning.md 2.1).
#pragma once

#include <optional>
#include <span>

#include "tokenizer/tokenizer.h"

namespace sluice::chat {

// Ids of the markers, from the tokenizer; nothing for one it has not.
struct ThinkMarkers {
  std::optional<tokenizer::TokenId> turn_start;  // <|im_start|>
  std::optional<tokenizer::TokenId> open;        // <think>
  std::optional<tokenizer::TokenId> close;       // </think>

  static ThinkMarkers of(const tokenizer::Tokenizer& tokenizer);
};

// If the last marker after the last turn start is <think>: how many tokens of the prompt follow it.
// Nothing otherwise. Decided on the ids and not on a request's switches: a server default or the
// template itself may have set the mode.
std::optional<size_t> open_thought(std::span<const tokenizer::TokenId> prompt,
                                   const ThinkMarkers& markers);

}  // namespace sluice::chat
