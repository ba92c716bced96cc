#include "chat/grammar/token_trie.h"

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"
#include "chat/calls/markup.h"

namespace sluice::chat::grammar {
namespace {

// Bytes of the plain character at `at`, or 0.
size_t plain_character(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7F && lead != '"' && lead != '\\' ? 1 : 0;
  const size_t size = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (size == 0 || at + size > text.size() || find_invalid_utf8(text.substr(at, size))) return 0;
  return size;
}

// For each offset (the end included): plain characters from there on, or kNotPlain.
std::vector<int16_t> plain_suffixes(std::string_view text) {
  std::vector<int16_t> counts(text.size() + 1, TokenTrie::kNotPlain);
  counts[text.size()] = 0;
  for (size_t at = text.size(); at-- > 0;) {
    const size_t size = plain_character(text, at);
    if (size > 0 && counts[at + size] != TokenTrie::kNotPlain)
      counts[at] = static_cast<int16_t>(counts[at + size] + 1);
  }
  return counts;
}

}  // namespace

TokenTrie::TokenTrie(std::vector<std::pair<std::string, TokenId>> tokens, int64_t vocabulary_size)
    : sorted_(std::move(tokens)), vocabulary_size_(vocabulary_size) {
  std::sort(sorted_.begin(), sorted_.end());
  place_.assign(static_cast<size_t>(vocabulary_size), -1);
  nodes_.push_back({});  // the root
  std::vector<size_t> path = {0};
  std::string_view previous;
  const auto close = [&](size_t depth, int32_t rank) {
    for (; path.size() > depth; path.pop_back()) {
      nodes_[path.back()].end = static_cast<int32_t>(nodes_.size());
      nodes_[path.back()].last_token = rank;
    }
  };
  for (size_t i = 0; i < sorted_.size(); ++i) {
    const auto& [text, id] = sorted_[i];
    SLUICE_CHECK(!text.empty() && text.size() < 30'000 && id >= 0 && id < vocabulary_size,
                 "token {} with {} bytes", id, text.size());
    const auto rank = static_cast<int32_t>(i);
    const size_t shared = static_cast<size_t>(
        std::mismatch(previous.begin(), previous.end(), text.begin(), text.end()).first -
        previous.begin());
    close(shared + 1, rank);
    for (size_t depth = shared; depth < text.size(); ++depth) {
      path.push_back(nodes_.size());
      nodes_.push_back(
          {.byte = static_cast<uint8_t>(text[depth]), .first_token = rank, .own_end = rank});
    }
    nodes_[path.back()].own_end = rank + 1;
    const std::vector<int16_t> plain = plain_suffixes(text);
    for (size_t depth = 0; depth < path.size(); ++depth) {
      int16_t& most = nodes_[path[depth]].plain;
      most =
          most == kNotPlain || plain[depth] == kNotPlain ? kNotPlain : std::max(most, plain[depth]);
    }
    tokens_.push_back(id);
    place_[static_cast<size_t>(id)] = rank;
    previous = text;
  }
  close(0, static_cast<int32_t>(sorted_.size()));
}

TokenTrie TokenTrie::of(const tokenizer::Tokenizer& tokenizer, int64_t vocabulary_size) {
  std::vector<std::pair<std::string, TokenId>> tokens;
  for (TokenId id = 0; id < std::min<int64_t>(tokenizer.size(), vocabulary_size); ++id) {
    if (!tokenizer.is_added(id) && !tokenizer.bytes(id).empty())
      tokens.emplace_back(tokenizer.bytes(id), id);
  }
  for (const char marker : {kCallOpen, kCallClose}) {
    const auto id = tokenizer.find_added(marker_text(marker));
    if (id && *id < vocabulary_size) tokens.emplace_back(std::string(1, marker), *id);
  }
  return TokenTrie(std::move(tokens), vocabulary_size);
}

std::string_view TokenTrie::bytes(TokenId id) const {
  if (id < 0 || id >= vocabulary_size_) return {};
  const int32_t rank = place_[static_cast<size_t>(id)];
  return rank < 0 ? std::string_view() : std::string_view(sorted_[static_cast<size_t>(rank)].first);
}

size_t TokenTrie::memory_bytes() const {
  size_t bytes = nodes_.capacity() * sizeof(Node) + tokens_.capacity() * sizeof(TokenId) +
                 place_.capacity() * sizeof(int32_t) + sorted_.capacity() * sizeof(sorted_[0]);
  for (const auto& [text, id] : sorted_) bytes += text.size() > 15 ? text.size() + 1 : 0;
  return bytes;
}

}  // namespace sluice::chat::grammar
