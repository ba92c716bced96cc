// Writes a build as a folder of safetensors: BF16, or quantized by a recipe, with everything that
// lies beside the weights.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/threads.h"
#include "checkpoint/imatrix.h"
#include "checkpoint/safetensors_writer.h"
#include "tools/convert/source.h"
#include "tools/convert/vision_tower.h"
#include "tools/quantize/activation_ranges.h"
#include "tools/quantize/compensation_source.h"
#include "tools/quantize/gguf_build.h"
#include "tools/quantize/nvfp4_search.h"
#include "tools/quantize/quantization_config.h"
#include "tools/quantize/report.h"
#include "tools/quantize/scheme.h"

namespace sluice::quantize {

struct SafetensorsRequest {
  const Recipe* recipe = nullptr;
  Layout layout = Layout::kOfficial;
  DraftHead draft = DraftHead::kBf16;
  bool keep_vision = true;
  ScaleSearch search = ScaleSearch::kSweep;  // anything but kNone also searches FP8 row scales
  const checkpoint::ImportanceMatrix* importance = nullptr;  // GGUF names and order
  std::string importance_file;                               // its name, for errors
  const ActivationRanges* ranges = nullptr;
  bool cache_scales = false;  // scales for keys and values in FP8, from `ranges`
  // Rounds with compensation of errors if given (GPTQ), else each weight by itself.
  CompensationSource* compensation = nullptr;
  // Instead of the recipe's: formats of modules of the text model, by canonical name. What engines
  // fuse has one format.
  std::map<std::string, Format> chosen = {};
};

// What one tensor of the build holds.
enum class PlaneKind : uint8_t {
  kPlain,
  kVision,
  kCodes,
  kScales,
  kTensorScale,
  kInputScale,
  kCacheScale
};

struct PlannedTensor {
  checkpoint::TensorSpec spec;
  PlaneKind kind = PlaneKind::kPlain;
  const convert::SourceWeight* weight = nullptr;     // null for the tower and for cache scales
  const checkpoint::StoredTensor* stored = nullptr;  // of the tower, copied
  const convert::TowerTensor* tower = nullptr;       // of the tower, from an mmproj
  Format format = Format::kBF16;
  std::string module;  // canonical
  float cache_scale = 0;
  std::span<const float> importance = {};  // of codes, in GGUF order; empty: none for this weight
};

struct SafetensorsPlan {
  std::vector<PlannedTensor> tensors;
  QuantizationFiles quantization;
  bool draft = false, vision = false;
  uint64_t bytes = 0;
  std::vector<std::string> notes;
};

// Reads small vectors (their storage type depends on their values), no matrix. Borrows source and
// request. Errors: a recipe or cache scales that need activation ranges and have none, a layout
// that has no place for cache scales, an importance vector of another length.
Result<SafetensorsPlan> plan_safetensors(const convert::Source& source,
                                         const SafetensorsRequest& request);

// One hash over all that the weights' bytes depend on beside source and program.
std::string plan_identity(const SafetensorsRequest& request, const SafetensorsPlan& plan);

// Writes weights, index, configs and side files into `folder`, where nothing is but the journal and
// the weights it speaks of.
Status write_safetensors(const convert::Source& source, const SafetensorsRequest& request,
                         const SafetensorsPlan& plan, const std::filesystem::path& folder,
                         ThreadPool& pool, const BuildEvents& events, BuildJournal& journal,
                         BuildReport& report);

}  // namespace sluice::quantize
