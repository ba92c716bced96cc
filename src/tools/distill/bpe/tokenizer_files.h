// A trained vocabulary as the family's files.
#pragma once

#include <vector>

#include "base/json.h"
#include "tools/distill/bpe/trainer.h"

namespace sluice::tools::bpe {

// tokenizer.json, as the Hugging Face tokenizers read it: NFC, the family's pattern, byte-level
// BPE, the added tokens after the merged ones.
Json tokenizer_json(const std::vector<Merge>& merges);

// tokenizer_config.json with the same ids; `context` is its model_max_length.
Json tokenizer_config(const std::vector<Merge>& merges, int64_t context);

}  // namespace sluice::tools::bpe
