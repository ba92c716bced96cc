// The vision tower of a GGUF build: a file of its own beside the text model's (formats-gguf.md 6).
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/threads.h"
#include "checkpoint/gguf_writer.h"
#include "tools/convert/row_stream.h"
#include "tools/convert/vision_tower.h"
#include "tools/quantize/build_identity.h"
#include "tools/quantize/report.h"

namespace sluice::quantize {

// BF16, F16, F32 or Q8_0 by name, any case; nothing for others.
std::optional<DType> find_tower_type(std::string_view name);

struct TowerFileTensor {
  checkpoint::TensorSpec spec;
  const convert::TowerTensor* tensor = nullptr;
  size_t frame = 0;     // of the patch embedding
  bool copied = false;  // keeps its bytes
};

struct TowerPlan {
  std::shared_ptr<const convert::VisionTower> tower;
  std::vector<TowerFileTensor> tensors;
  checkpoint::GgufMetadata metadata;
  std::string type;    // of most matrices: "BF16"
  uint64_t bytes = 0;  // of the tensors

  // mmproj-STEM-TYPE.gguf for the model STEM.gguf.
  std::string file_name(const std::filesystem::path& model) const;
};

// Types and names of the file; reads no weight. Nothing if the source has no tower, or it was not
// asked for. Without a type an mmproj is copied byte by byte and a published tower's matrices stay
// in the type they have there. Errors: those of convert::tower_of.
Result<std::optional<TowerPlan>> plan_tower(const convert::Source& source,
                                            std::optional<DType> type);

void add_to_identity(const TowerPlan& plan, IdentityHash& hash);

// One tensor's bytes, all handed over when this returns, and what was lost.
Status write_tower_tensor(const TowerPlan& plan, size_t number, ThreadPool& pool,
                          const convert::Output& out, convert::ErrorSum& error);

// Adds a tensor that is written to the report of the tower; the first one begins it.
void report_tower_tensor(const TowerPlan& plan, size_t number, const std::string& file,
                         const convert::ErrorSum& error, BuildReport& report);

}  // namespace sluice::quantize
