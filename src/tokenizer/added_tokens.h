// Finds added tokens ("<|im_end|>", "<think>") in text: leftmost first, of those that begin at one
// place the longest (as the Hugging Face tokenizers' automaton has it).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace sluice::tokenizer {

// Bounds the search to this many steps per byte of text; the family's longest has 22 bytes.
inline constexpr size_t kMaxAddedTokenBytes = 1024;

class AddedTokenMatcher {
 public:
  AddedTokenMatcher() = default;
  // Contents must differ and have 1 to kMaxAddedTokenBytes bytes.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  struct Match {
    size_t begin, end;
    TokenId id;
  };
  // The first token in `text` at or after `from` that has no byte in a literal range (sorted,
  // disjoint ranges of `text`). `next_literal` is an index into them that the search moves forward;
  // begin with 0.
  std::optional<Match> find(std::string_view text, size_t from, std::span<const TextRange> literal,
                            size_t& next_literal) const;

  bool empty() const { return tokens_.empty(); }
  size_t memory_bytes() const;  // beyond the object itself

 private:
  const AddedToken* longest_at(std::string_view text) const;

  // Sorted by content: the tokens that share a prefix are neighbours, which makes this a trie.
  std::vector<AddedToken> tokens_;
  std::array<bool, 256> begins_{};  // first bytes
};

// Memory that a string holds beyond the object itself.
size_t heap_bytes(const std::string& text);

}  // namespace sluice::tokenizer
