// Which pieces a corpus consists of, and how often: all that a BPE trainer needs to know of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/splitter.h"

namespace sluice::tools::bpe {

class PieceCounts {
 public:
  // With the family's pattern and NFC. Added tokens split the text and are no pieces themselves.
  static Result<PieceCounts> create();

  // `text` must be well-formed UTF-8: otherwise an error with the offset of the first bad byte.
  Status add(std::string_view text);

  // In order of the bytes, so that training does not depend on the order of the texts.
  const std::map<std::string, int64_t, std::less<>>& counts() const { return counts_; }

 private:
  PieceCounts(tokenizer::Splitter splitter, tokenizer::AddedTokenMatcher added)
      : splitter_(std::move(splitter)), added_(std::move(added)) {}
  Status add_plain(std::string_view text);

  tokenizer::Splitter splitter_;
  tokenizer::AddedTokenMatcher added_;
  std::map<std::string, int64_t, std::less<>> counts_;
};

}  // namespace sluice::tools::bpe
