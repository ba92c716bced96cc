#include "chat/thinking.h"

namespace sluice::chat {

ThinkMarkers ThinkMarkers::of(const tokenizer::Tokenizer& tokenizer) {
  return {tokenizer.find_added("<|im_start|>"), tokenizer.find_added("<think>"),
          tokenizer.find_added("</think>")};
}

std::optional<size_t> open_thought(std::span<const tokenizer::TokenId> prompt,
                                   const ThinkMarkers& markers) {
  for (size_t after = 0; after < prompt.size(); ++after) {
    const tokenizer::TokenId id = prompt[prompt.size() - 1 - after];
    if (id == markers.open) return after;
    if (id == markers.close || id == markers.turn_start) return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace sluice::chat
