// Cuts text into the pieces that byte-level BPE works on: by hand for the family's patterns, else
// by PCRE2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "tokenizer/family_splitter.h"
#include "tokenizer/regex_splitter.h"

namespace sluice::tokenizer {

class Splitter {
 public:
  static Result<Splitter> from_pattern(std::string_view pattern) {
    if (const auto family = FamilySplitter::from_pattern(pattern)) return Splitter(*family);
    SLUICE_ASSIGN(RegexSplitter regex, RegexSplitter::compile(pattern));
    return Splitter(std::move(regex));
  }

  // Appends the end of each piece of `text` (well-formed UTF-8, below 2 GiB); the pieces cover it.
  // Only a pattern outside the family can fail.
  Status split(std::string_view text, std::vector<uint32_t>& ends) const {
    if (const auto* regex = std::get_if<RegexSplitter>(&matcher_)) return regex->split(text, ends);
    std::get<FamilySplitter>(matcher_).split(text, ends);
    return {};
  }

  size_t memory_bytes() const {  // beyond the object itself
    const auto* regex = std::get_if<RegexSplitter>(&matcher_);
    return regex != nullptr ? regex->memory_bytes() : 0;
  }

 private:
  explicit Splitter(FamilySplitter family) : matcher_(family) {}
  explicit Splitter(RegexSplitter regex) : matcher_(std::move(regex)) {}

  std::variant<FamilySplitter, RegexSplitter> matcher_;
};

}  // namespace sluice::tokenizer
