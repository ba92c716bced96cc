// The vocabulary as a tree of bytes: what masks are walked over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace sluice::chat::grammar {

using tokenizer::TokenId;

class TokenTrie {
 public:
  // In depth-first order: the children of a node begin right after it, and `end` is where its next
  // sibling begins.
  struct Node {
    uint8_t byte = 0;
    // Most characters that any token has after this node, if all of them are plain (see
    // Automaton::State::plain_capacity); kNotPlain otherwise.
    int16_t plain = 0;
    int32_t end = 0;
    int32_t first_token = 0, own_end = 0, last_token = 0;  // into tokens(): own ones, then below
  };
  static constexpr int16_t kNotPlain = -1;

  // Pairs of bytes and id; tokens without bytes must be left out.
  explicit TokenTrie(std::vector<std::pair<std::string, TokenId>> tokens, int64_t vocabulary_size);
  // The tokens of ordinary text, and the markers of tool calls as kCallOpen and kCallClose of
  // calls/markup.h: grammars are over marked text. No other added token is in it.
  // `vocabulary_size`: of the model; ids beyond it are left out.
  static TokenTrie of(const tokenizer::Tokenizer& tokenizer, int64_t vocabulary_size);

  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<TokenId>& tokens() const { return tokens_; }  // by their bytes
  int64_t vocabulary_size() const { return vocabulary_size_; }
  // Marked bytes of a token; empty for one that is not in the tree.
  std::string_view bytes(TokenId id) const;
  size_t memory_bytes() const;

 private:
  std::vector<Node> nodes_;
  std::vector<TokenId> tokens_;
  std::vector<std::pair<std::string, TokenId>> sorted_;
  std::vector<int32_t> place_;  // of an id in sorted_; -1
  int64_t vocabulary_size_;
};

}  // namespace sluice::chat::grammar
