// The metadata of a GGUF build: geometry from config.json, sampling defaults, tokenizer and chat
// template (formats-gguf.md 2), or those of the GGUF it is made from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "checkpoint/gguf.h"
#include "tools/convert/source.h"

namespace sluice::convert {

// What the metadata say of the build beyond its source.
struct GgufFacts {
  bool copied = false;     // tensors keep their bytes, so what is said of them stays (from a GGUF)
  bool draft = false;      // the draft head is in the file
  uint64_t file_type = 0;  // general.file_type, formats-gguf.md 1
  std::string importance_file, importance_dataset;  // empty: none was used
  uint64_t importance_entries = 0, importance_chunks = 0;
};

// Errors: geometry that GGUF has no keys for, a tokenizer that is damaged or of another family.
Result<checkpoint::GgufMetadata> gguf_metadata(const Source& source, const GgufFacts& facts);

// The keys that every file made of published checkpoints begins with: architecture, type, sampling
// defaults, name and size.
Status add_general_keys(const Source& source, std::string_view architecture, std::string_view type,
                        int64_t parameters, checkpoint::GgufMetadata& metadata);

// Tokenizer keys from tokenizer.json and tokenizer_config.json; nothing is added without a
// tokenizer.json. Part of gguf_metadata.
Status add_tokenizer_keys(const Source& source, checkpoint::GgufMetadata& metadata);

}  // namespace sluice::convert
