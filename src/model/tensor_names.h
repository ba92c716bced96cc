// Names as they are stored to one canonical name (formats.md 2.4): "layers.3.mlp.up_proj.weight",
// "embed_tokens.weight", "norm.weight", "lm_head.weight", "mtp....", "visual....". GGUF names map
// to the same ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::model {

// Strips the prefix of any of the naming layouts: HF text-only, HF multimodal, MLX and vLLM. Also
// for the module paths of configs. A name of no known layout comes back unchanged.
std::string canonical_name(std::string_view stored);

// The same for GGUF, where blocks from `layers` on are the draft head's.
std::string canonical_gguf_name(std::string_view stored, int64_t layers);

// The inverse (formats-gguf.md 3): what a GGUF calls a canonical tensor; empty for one that the
// format has no name for.
std::string gguf_name(std::string_view canonical, int64_t layers);

// "layers.3.mlp.up_proj.weight" into module and leaf; a name without a dot is all leaf.
struct NameParts {
  std::string module, leaf;
};
NameParts split_name(std::string_view canonical);

// Every way in which tools write the path of a canonical module, for regular expressions and globs.
std::vector<std::string> spellings(std::string_view canonical_module);

// The fused module that contains this one in vLLM ("....self_attn.qkv_proj" for q_proj), or
// nothing.
std::string fused_module(std::string_view canonical_module);

}  // namespace sluice::model
