// The pre-tokenizer patterns of the Qwen family, matched by hand: linear time, no regular
// expression engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace sluice::tokenizer {

// As tokenizer.json writes them.
inline constexpr std::string_view kQwen35Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

class FamilySplitter {
 public:
  // Nothing if `pattern` is none of the above.
  static std::optional<FamilySplitter> from_pattern(std::string_view pattern);

  // Appends the end of each piece of `text` (well-formed UTF-8, below 4 GiB). Every byte is in a
  // piece.
  void split(std::string_view text, std::vector<uint32_t>& ends) const;

 private:
  FamilySplitter(uint32_t word_classes, uint32_t symbol_classes)
      : word_classes_(word_classes), symbol_classes_(symbol_classes) {}

  // Bit sets of CharacterClass. The two patterns differ in one point: marks are in the first set or
  // the second.
  uint32_t word_classes_, symbol_classes_;
};

}  // namespace sluice::tokenizer
