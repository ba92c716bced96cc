// Canonical names of the model ("layers.3.mlp.up_proj.weight") to those of published checkpoints
// (those of a GGUF: model/tensor_names.h).
#pragma once

#include <string>
#include <string_view>

namespace sluice::convert {

// Of a published checkpoint: with the prefix of multimodal files ("model.language_model.") or of
// text-only ones ("model.").
std::string published_name(std::string_view canonical, bool text_only);

}  // namespace sluice::convert
