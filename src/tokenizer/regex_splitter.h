// Any other pre-tokenizer pattern, through PCRE2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::tokenizer {

class RegexSplitter {
 public:
  // Compiles a pattern written for Oniguruma, the engine of Hugging Face's tokenizers. Where the
  // two engines read a construct differently it is rewritten, or refused by name if that cannot be
  // done.
  static Result<RegexSplitter> compile(std::string_view pattern);

  RegexSplitter(RegexSplitter&&) noexcept;
  RegexSplitter& operator=(RegexSplitter&&) noexcept;
  ~RegexSplitter();

  // Appends the end of each piece of `text` (well-formed UTF-8, below 2 GiB): the matches, and what
  // lies between them. Thread-safe. Fails if a match needs more steps than a pattern of sense ever
  // does.
  Status split(std::string_view text, std::vector<uint32_t>& ends) const;

  size_t memory_bytes() const;

 private:
  struct Code;
  explicit RegexSplitter(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

// The pattern in PCRE2's dialect (exposed for tests).
Result<std::string> translate_pattern(std::string_view pattern);

}  // namespace sluice::tokenizer
