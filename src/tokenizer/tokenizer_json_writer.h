// Writes a vocabulary as tokenizer.json, the file of Hugging Face `tokenizers`; its reader is
// tokenizer_json.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/json.h"

namespace sluice::tokenizer {

// What differs between byte-level BPE tokenizers of the family.
struct TokenizerContent {
  Json::Object vocabulary;   // token in the byte alphabet -> id
  Json merges;               // array of pairs, first merged first
  Json added_tokens;         // array of added_token_json
  std::string_view pattern;  // of the splitter, for the regex engine of `tokenizers`
};

// The whole document.
Json tokenizer_json(TokenizerContent content);

// An added token: with its id in tokenizer.json, without it in tokenizer_config.json, where the id
// is the key.
Json added_token_json(std::string_view content, bool special, std::optional<int64_t> id = {});

}  // namespace sluice::tokenizer
