// What config files and a GGUF's keys say of a vision tower, read and written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "checkpoint/gguf.h"
#include "tools/convert/source.h"
#include "tools/convert/vision_tower.h"

namespace sluice::convert {

// The projector of this family, as `clip.projector_type` names it.
inline constexpr std::string_view kProjector = "qwen3vl_merger";

// Under either of its keys; empty if there is none.
std::string projector_of(const checkpoint::GgufMetadata& keys);

// From vision_config. Errors: a size that is missing, not positive or beyond reason; DeepStack
// layers, which this family has none of.
Result<TowerGeometry> geometry_of_config(const Source& source);

// From the keys of an mmproj of so many tensors. Errors: not a vision tower, one of another family,
// sizes as above or that contradict each other or the number of tensors.
Result<TowerGeometry> geometry_of_keys(const checkpoint::GgufMetadata& keys,
                                       const std::string& file, size_t tensors);

// Keys of the mmproj that is made of a tower, in the converter's order; of one that comes from an
// mmproj they stay but for the type, which stays too if there is no new one.
Result<checkpoint::GgufMetadata> mmproj_metadata(const Source& source, const VisionTower& tower,
                                                 const uint64_t* file_type);

// config.json of the multimodal model around that of a text model, and the files of its image and
// video processors, for a tower that comes from an mmproj. What its keys do not hold are the
// numbers of the published models (vision.md 2 and 3).
Result<Json> multimodal_config(const Source& source, Json text);
Status write_processor_files(const Source& source, const std::filesystem::path& folder);

}  // namespace sluice::convert
