#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::tokenizer {

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  for (const AddedToken& token : tokens_) {
    SLUICE_CHECK(!token.content.empty() && token.content.size() <= kMaxAddedTokenBytes, "{} bytes",
                 token.content.size());
    begins_[static_cast<uint8_t>(token.content[0])] = true;
  }
}

const AddedToken* AddedTokenMatcher::longest_at(std::string_view text) const {
  // [first, last) agree with the text in `depth` bytes. A token that ends there sorts first among
  // them.
  auto first = tokens_.begin(), last = tokens_.end();
  const AddedToken* longest = nullptr;
  for (size_t depth = 0; first != last; ++depth) {
    if (first->content.size() == depth) {
      longest = &*first;
      if (++first == last) break;
    }
    if (depth == text.size()) break;
    const auto byte = static_cast<uint8_t>(text[depth]);
    const auto byte_at_depth = [depth](const AddedToken& token) {
      return static_cast<uint8_t>(token.content[depth]);
    };
    first = std::partition_point(first, last,
                                 [&](const AddedToken& t) { return byte_at_depth(t) < byte; });
    last = std::partition_point(first, last,
                                [&](const AddedToken& t) { return byte_at_depth(t) == byte; });
  }
  return longest;
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(std::string_view text, size_t from,
                                                                std::span<const TextRange> literal,
                                                                size_t& next_literal) const {
  if (tokens_.empty()) return std::nullopt;
  for (size_t i = from; i < text.size(); ++i) {
    if (!begins_[static_cast<uint8_t>(text[i])]) continue;
    while (next_literal < literal.size() &&
           (literal[next_literal].end <= i ||
            literal[next_literal].begin == literal[next_literal].end)) {
      ++next_literal;
    }
    size_t limit = text.size();
    if (next_literal < literal.size()) {
      if (literal[next_literal].begin <= i) {
        i = literal[next_literal].end - 1;
        continue;
      }
      limit = literal[next_literal].begin;
    }
    if (const AddedToken* token = longest_at(text.substr(i, limit - i))) {
      return Match{i, i + token->content.size(), token->id};
    }
  }
  return std::nullopt;
}

size_t heap_bytes(const std::string& text) {
  static const size_t inside_the_object = std::string().capacity();
  return text.capacity() > inside_the_object ? text.capacity() + 1 : 0;
}

size_t AddedTokenMatcher::memory_bytes() const {
  size_t bytes = tokens_.capacity() * sizeof(AddedToken);
  for (const AddedToken& token : tokens_) bytes += heap_bytes(token.content);
  return bytes;
}

}  // namespace sluice::tokenizer
