// Value heads of the linear attention stand grouped by their key head in Hugging Face files and
// tiled in GGUF files (formats-gguf.md 3.1): which parts of which tensors move between the two.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace sluice::convert {

// Where the value heads lie in a tensor seen as rows x columns: head h begins at first + h * unit
// on that axis.
struct HeadPlace {
  bool rows = true;  // else columns
  int64_t first = 0, unit = 1;
};
// Nothing for a tensor in which no value head has a place. `canonical`:
// "layers.0.linear_attn.A_log".
std::optional<HeadPlace> head_place(std::string_view canonical, const model::TextConfig& config);

// For each index of the axis in the target's order, the index in the source's. Empty where nothing
// moves.
std::vector<int64_t> moved_indices(const HeadPlace& place, int64_t extent,
                                   const model::TextConfig& config, ops::HeadOrder target);

}  // namespace sluice::convert
