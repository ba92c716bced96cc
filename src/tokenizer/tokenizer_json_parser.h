// Reads tokenizer.json in one pass: the two large members (model.vocab and model.merges, 99.9 % of
// 20 MB) go to flat pools, only the rest becomes a Json tree. A tree of everything takes seven
// times the memory and time.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "tokenizer/tokenizer_source.h"

namespace sluice::tokenizer {

struct ParsedTokenizerJson {
  Json tree;  // without model.vocab and model.merges
  bool has_vocabulary = false, has_merges = false;
  StringPool tokens;
  std::vector<TokenId> ids;
  StringPool merges;  // left and right of each merge in turn
};

Result<ParsedTokenizerJson> parse_tokenizer_json(std::string_view text);

}  // namespace sluice::tokenizer
