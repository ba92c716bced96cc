// A byte-level vocabulary without merges in the published layout: the 256 bytes, filler, and the 33
// added tokens at their published ids, so that text, chat markers and stop tokens work on random
// models.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace sluice::benchmarks {

struct SyntheticVocabulary {
  std::vector<std::string> tokens;  // one per embedding row; unused ones are [PADn]
  std::vector<int64_t> types;  // GGUF token types: 1 normal, 3 control, 4 user-defined, 5 unused
  int64_t end_of_text = 0, end_of_turn = 0;
};

// `size` is at least 512. With 248320 rows the added tokens are 248044 to 248076; with fewer they
// are the last 33 before the final 8 rows.
SyntheticVocabulary synthetic_vocabulary(int64_t size);

// The same as a tokenizer.json of the published form (pattern, NFC, byte-level BPE).
Json synthetic_tokenizer_json(const SyntheticVocabulary& vocabulary);

// ChatML without tools or thinking, enough for benchmarks.
std::string synthetic_chat_template();

}  // namespace sluice::benchmarks
