// From an opened source to a finished build in its place: disk need told first, written beside and
// renamed, with report and model card.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>

#include "base/result.h"
#include "base/threads.h"
#include "tools/convert/source.h"
#include "tools/quantize/gguf_build.h"
#include "tools/quantize/report.h"
#include "tools/quantize/safetensors_build.h"

namespace sluice::quantize {

struct BuildRequest {
  std::filesystem::path out;
  bool overwrite = false;
  std::string target;  // for the report: "q4_k_m", "nvfp4"
  std::variant<GgufRequest, SafetensorsRequest> how;
  std::optional<AutomaticReport> automatic;  // how the formats in `how` were chosen, if they were
};

// A run that was killed or interrupted leaves what it has finished in the temporary place; the same
// request goes on from there and ends with the same bytes. What is there of another request,
// source or program, or damaged, is thrown away with a notice.
Result<BuildReport> make_build(const convert::Source& source, const BuildRequest& request,
                               ThreadPool& pool, const BuildEvents& events);

}  // namespace sluice::quantize
