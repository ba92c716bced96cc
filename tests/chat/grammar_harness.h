// Grammars over a small vocabulary: every byte, and pieces of JSON and text that cross its tokens.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/calls/markup.h"
#include "chat/grammar/structured_output.h"
#include "chat/grammar/token_constraint.h"

namespace sluice::chat::grammar {

inline constexpr TokenId kThinkCloseId = 400, kCallOpenId = 401, kCallCloseId = 402, kStopId = 403;
inline constexpr int64_t kVocabularySize = 410;

inline std::shared_ptr<const TokenTrie> small_trie() {
  static const auto trie = [] {
    std::vector<std::pair<std::string, TokenId>> tokens;
    for (int byte = 0; byte < 0xF8; ++byte)
      tokens.emplace_back(std::string(1, static_cast<char>(byte)), byte);
    TokenId next = 256;
    for (const char* piece : {"{\"",
                              "\":",
                              "\",",
                              "\"}",
                              "\": ",
                              "\": \"",
                              "\", \"",
                              "}}",
                              "}]",
                              "]}",
                              "],",
                              "[[",
                              "[]",
                              "{}",
                              "true",
                              "false",
                              "null",
                              " \"",
                              "  ",
                              "    ",
                              "\n\n",
                              "\n  ",
                              "  \"",
                              "ab",
                              "abc",
                              "a\"",
                              "name",
                              "name\":",
                              "id\"",
                              "1,",
                              "12",
                              "0.",
                              "-1",
                              "e+",
                              "\\n",
                              "\\u",
                              "\\\"",
                              "é",
                              "🙂",
                              "é\"",
                              "\xC3",
                              "\xA9\"",
                              "</parameter>",
                              "\n</",
                              "parameter",
                              "<function=",
                              "</function>\n",
                              ">\n",
                              "=",
                              "<parameter=",
                              "x\n</parameter>\n",
                              ", ",
                              ": ",
                              "\",\n",
                              "},",
                              "} ",
                              "a\xC3"})
      tokens.emplace_back(piece, next++);
    tokens.emplace_back(std::string(1, kCallOpen), kCallOpenId);
    tokens.emplace_back(std::string(1, kCallClose), kCallCloseId);
    return std::make_shared<const TokenTrie>(std::move(tokens), kVocabularySize);
  }();
  return trie;
}

inline ConstraintOptions plain_options() { return {.call_open = kCallOpenId, .stop = {kStopId}}; }

inline std::vector<uint64_t> mask_of(TokenConstraint& constraint) {
  std::vector<uint64_t> mask((kVocabularySize + 63) / 64);
  constraint.mask(mask);
  return mask;
}
inline bool allowed(const std::vector<uint64_t>& mask, TokenId id) {
  return (mask[static_cast<size_t>(id) / 64] >> (static_cast<size_t>(id) % 64) & 1) != 0;
}

// The text with "<tool_call>" and "</tool_call>" as markers, as grammars see it.
inline std::string marked(std::string_view text) {
  std::string result(text);
  for (const char marker : {kCallOpen, kCallClose}) {
    const std::string_view name = marker_text(marker);
    for (size_t at = 0; (at = result.find(name, at)) != std::string::npos;)
      result.replace(at, name.size(), 1, marker);
  }
  return result;
}

inline TokenId byte_token(char c) {
  return c == kCallOpen    ? kCallOpenId
         : c == kCallClose ? kCallCloseId
                           : static_cast<unsigned char>(c);
}

// Byte by byte: whether the grammar takes all of the text, and may stop there.
inline bool accepts(const std::shared_ptr<const TokenMasks>& masks, std::string_view text) {
  TokenConstraint constraint(masks, plain_options());
  for (const char c : marked(text)) {
    if (!constraint.advance(byte_token(c))) return false;
  }
  return constraint.can_end();
}

}  // namespace sluice::chat::grammar
