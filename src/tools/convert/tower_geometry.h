// The sizes of a vision tower, the tensors that follow from them in either container, and how the
// keys of an mmproj state them (formats-gguf.md 6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "checkpoint/gguf.h"
#include "checkpoint/stored_tensor.h"

namespace sluice::convert {

// Of the convolution that makes patches, in every size of the family.
inline constexpr int64_t kTowerChannels = 3, kTowerFrames = 2;

// vision.md 1.
struct TowerGeometry {
  int64_t depth = 0, hidden = 0, intermediate = 0, heads = 0;
  int64_t output = 0;     // width of the text model
  int64_t patch = 0;      // pixels of an edge
  int64_t merge = 2;      // patches of an edge that become one token
  int64_t positions = 0;  // rows of the position table, a square number

  int64_t position_edge() const;  // its square root, rounded
};

// One tensor of the tower, with its name in either form. The patch embedding is one tensor in
// published files and one for each frame in a GGUF; all others are the same array.
struct TowerTensor {
  std::string canonical;  // "visual.blocks.0.attn.qkv.weight"
  std::vector<int64_t> shape;
  std::vector<std::string> gguf_names;
  std::vector<int64_t> gguf_shape;
  std::vector<const checkpoint::StoredTensor*> stored;  // one, or one for each of gguf_names

  bool matrix() const { return shape.size() > 1; }
};

// All tensors of a tower of these sizes, nothing stored yet.
std::vector<TowerTensor> expected_tower(const TowerGeometry& geometry);

// Why these cannot be a tower's sizes; empty if they can.
std::string size_objection(const TowerGeometry& geometry);

// The projector of this family, as `clip.projector_type` names it.
inline constexpr std::string_view kProjector = "qwen3vl_merger";

// Under either of its keys; empty if there is none.
std::string projector_of(const checkpoint::GgufMetadata& keys);

// From the keys of an mmproj of so many tensors. Errors: not a vision tower, one of another family,
// a
// size that is missing, not positive or beyond reason; sizes that contradict each other or the
// number of tensors.
Result<TowerGeometry> geometry_of_keys(const checkpoint::GgufMetadata& keys,
                                       const std::string& file, size_t tensors);

}  // namespace sluice::convert
