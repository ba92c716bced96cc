// What a tokenizer file says, before it is checked and indexed: the meeting point of tokenizer.json
// and GGUF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tokenizer/tokenizer.h"

namespace sluice::tokenizer {

// Many short strings in one allocation.
class StringPool {
 public:
  void push(std::string_view text) {
    text_.append(text);
    ends_.push_back(text_.size());
  }
  std::string_view operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(text_).substr(begin, ends_[i] - begin);
  }
  size_t size() const { return ends_.size(); }
  void reserve(size_t strings, size_t bytes) {
    ends_.reserve(strings);
    text_.reserve(bytes);
  }

 private:
  std::string text_;
  std::vector<size_t> ends_;
};

struct AddedTokenSource {
  AddedToken token;
  bool normalized =
      false;  // searched in normalized text, after the others were found in the raw text
};

struct TokenizerSource {
  std::string origin;        // "tokenizer.json" or "GGUF tokenizer", for messages
  StringPool tokens;         // in the byte alphabet
  std::vector<TokenId> ids;  // of each token; from 0 to kMaxTokenId
  StringPool merges;         // left and right of each merge in turn
  std::vector<AddedTokenSource> added;
  bool nfc = false;
  std::string pattern;  // of the pre-tokenizer
};

// `config` is tokenizer_config.json or null.
Result<TokenizerSource> read_tokenizer_json(std::string_view text, const Json* config);
Result<TokenizerSource> read_gguf_vocabulary(const GgufVocabulary& vocabulary);

// An id from a file, checked against [0, kMaxTokenId]; `owner` names its token in the error.
Result<TokenId> checked_id(const std::string& origin, std::string_view owner, const Json& value);

// A string of a file as it may be shown in a message: a JSON literal, cut after 60 bytes.
std::string quoted(std::string_view text);

}  // namespace sluice::tokenizer
