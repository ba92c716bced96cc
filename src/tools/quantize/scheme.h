// Recipes of safetensors builds: which format each matrix gets, and in whose layout.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/format.h"

namespace sluice::quantize {

enum class Layout : uint8_t { kOfficial, kCompressedTensors, kModelOpt };
std::string_view layout_name(Layout layout);

// kBF16 stands for "left as it is".
struct Recipe {
  std::string_view name;             // as --to takes it
  Format attention = Format::kBF16;  // projections of both kinds of attention
  Format mlp = Format::kBF16;
  Format head = Format::kBF16;
  std::vector<Layout> layouts;  // the first is the default; empty: nothing is quantized
};
const std::vector<Recipe>& recipes();
// By name or alias, any case, '-' for '_'; nullptr if there is none.
const Recipe* find_recipe(std::string_view name);
// The recipe's default, or the one asked for if the recipe has it.
Result<Layout> layout_for(const Recipe& recipe, std::string_view asked);

// The format of a canonical module ("layers.0.mlp.up_proj"); kBF16 for what nobody quantizes: the
// embedding, in_proj_a and in_proj_b, whose outputs feed exponentials (formats-safetensors.md 4),
// and the draft head's fc. `draft`: the draft head's layer follows the recipe as well.
Format module_format(const Recipe& recipe, std::string_view module, bool draft);

// Modules that get one tensor scale because engines fuse them, the module itself included: q/k/v,
// gate/up, in_proj_qkv/in_proj_z. Only the others' names matter, none may exist.
std::vector<std::string> fused_with(std::string_view module);

// Columns under one block scale; 0 for formats without blocks along K.
int64_t block_columns(Format format);

bool needs_activation_range(Format format);

}  // namespace sluice::quantize
