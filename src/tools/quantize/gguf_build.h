// Writes a build as GGUF: converted (F32, F16, BF16, Q8_0) or quantized by one of llama.cpp's
// mixtures.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/threads.h"
#include "checkpoint/gguf_writer.h"
#include "checkpoint/imatrix.h"
#include "tools/convert/source.h"
#include "tools/quantize/build_journal.h"
#include "tools/quantize/gguf_mixture.h"
#include "tools/quantize/report.h"
#include "tools/quantize/tower_build.h"

namespace sluice::quantize {

enum class DraftHead : uint8_t { kBf16, kSame, kNone };  // as spec/cli.md names --keep-mtp

struct GgufRequest {
  const Mixture* mixture = nullptr;
  bool older_rule = false;
  DraftHead draft = DraftHead::kBf16;
  const checkpoint::ImportanceMatrix* importance = nullptr;
  std::string importance_file;  // its name, for the file's metadata
  // Instead of the mixture's: types of the text model's quantized tensors, by canonical name.
  std::map<std::string, DType> chosen = {};
  bool keep_vision = true;
  std::optional<DType> vision_type = {};  // without one as plan_tower() chooses
};

struct GgufTensor {
  checkpoint::TensorSpec spec;
  const convert::SourceWeight* weight = nullptr;
  std::span<const float> importance;  // empty: none for this tensor
};

struct GgufPlan {
  std::vector<GgufTensor> tensors;
  checkpoint::GgufMetadata metadata;
  uint64_t bytes = 0;              // of the tensors
  std::optional<TowerPlan> tower;  // a file beside; not among `bytes`
  std::vector<std::string> notes;
};

// Types, names and metadata of the build; reads no weight. Borrows source and request. Errors: a
// tensor that GGUF has no name for, an importance vector of another length, a vision tower that
// cannot be carried over.
Result<GgufPlan> plan_gguf(const convert::Source& source, const GgufRequest& request);

// One hash over all that the file's bytes depend on beside source and program; its header is
// compared when the file is opened again.
std::string plan_identity(const GgufPlan& plan);

// Writes the file and the tower's beside it, and fills in the report's tensors, those of an earlier
// run from the journal.
Status write_gguf(const convert::Source& source, const GgufPlan& plan,
                  const std::filesystem::path& file, ThreadPool& pool, const BuildEvents& events,
                  BuildJournal& journal, BuildReport& report);

}  // namespace sluice::quantize
