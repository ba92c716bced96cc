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

// From vision_config. Errors: a size that is missing, not positive or beyond reason; DeepStack
// layers, which this family has none of.
Result<TowerGeometry> geometry_of_config(const Source& source);

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
