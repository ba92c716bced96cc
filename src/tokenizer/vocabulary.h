// The checked and indexed form of a TokenizerSource: bytes of each token, merges, added tokens.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/tokenizer_source.h"

namespace sluice::tokenizer {

class Vocabulary {
 public:
  // Errors name the token or merge: duplicate tokens or ids, a byte without token, a merge whose
  // parts or result are no tokens, two merges of one pair.
  static Result<Vocabulary> build(const TokenizerSource& source);

  // Bytes of a token; empty for ids without one.
  std::string_view bytes(TokenId id) const {
    if (!in_range(id)) return {};
    const auto i = static_cast<size_t>(id);
    return std::string_view(text_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
  }
  bool is_added(TokenId id) const {
    return in_range(id) && kinds_[static_cast<size_t>(id)] >= kAdded;
  }
  bool is_special(TokenId id) const {
    return in_range(id) && kinds_[static_cast<size_t>(id)] == kSpecial;
  }
  int64_t size() const { return static_cast<int64_t>(kinds_.size()); }

  const std::vector<AddedToken>& added() const { return added_; }  // by id
  // Added tokens searched in raw text, and those searched afterwards in normalized text.
  const AddedTokenMatcher& raw_matcher() const { return raw_matcher_; }
  const AddedTokenMatcher& normalized_matcher() const { return normalized_matcher_; }

  const MergeTable& merges() const { return merges_; }
  const std::array<TokenId, 256>& byte_ids() const { return byte_ids_; }

  size_t memory_bytes() const;  // beyond the object itself

 private:
  enum Kind : uint8_t { kNone, kOrdinary, kAdded, kSpecial };
  class Builder;

  bool in_range(TokenId id) const { return id >= 0 && static_cast<size_t>(id) < kinds_.size(); }

  std::string text_;               // bytes of all tokens by id
  std::vector<uint32_t> offsets_;  // size() + 1
  std::vector<uint8_t> kinds_;     // Kind
  std::array<TokenId, 256> byte_ids_{};
  MergeTable merges_;
  std::vector<AddedToken> added_;
  AddedTokenMatcher raw_matcher_, normalized_matcher_;
};

}  // namespace sluice::tokenizer
