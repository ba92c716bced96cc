// What lies beside the weights of a published checkpoint: config.json, tokenizer, template,
// generation defaults. Taken over from such a folder, or written anew from a GGUF's metadata.
#pragma once

#include <filesystem>
#include <optional>

#include "base/json.h"
#include "base/result.h"
#include "tools/convert/source.h"

namespace sluice::convert {

struct PublishedFacts {
  bool draft = false;                       // the draft head is in the build
  bool vision = false;                      // the tower is in the build
  std::optional<Json> quantization_config;  // goes into config.json
};

// Whether tensors are named as in text-only exports ("model.layers.") rather than as in multimodal
// ones. A tower that is taken out makes a build text-only, class name and config included.
bool text_only_names(const Source& source, bool keep_vision);

// config.json of the build.
Result<Json> published_config(const Source& source, const PublishedFacts& facts);

// Writes config.json and everything beside the weights into `folder`.
Status write_published_files(const Source& source, const PublishedFacts& facts,
                             const std::filesystem::path& folder);

// tokenizer.json, tokenizer_config.json and chat_template.jinja from a GGUF's keys; nothing without
// a tokenizer. Part of write_published_files.
Status write_gguf_tokenizer(const Source& source, const std::filesystem::path& folder);

// The rest of such a folder, which only GGUF metadata know: geometry as config.json spells it.
Result<Json> config_of_gguf(const Source& source);

}  // namespace sluice::convert
