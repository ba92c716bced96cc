// Canonical names of the model ("layers.3.mlp.up_proj.weight") to the names that files carry.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::convert {

// Of a GGUF, where block `layers` is the draft head; empty for a tensor that the format has no name
// for (formats-gguf.md 3). The inverse of model::canonical_gguf_name.
std::string gguf_name(std::string_view canonical, int64_t layers);

// Of a published checkpoint: with the prefix of multimodal files ("model.language_model.") or of
// text-only ones ("model.").
std::string published_name(std::string_view canonical, bool text_only);

}  // namespace sluice::convert
