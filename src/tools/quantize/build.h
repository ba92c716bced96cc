// From an opened source to a finished build in its place: disk need told first, written beside and
// renamed, with report and model card.
#pragma once

#include <filesystem>
#include <functional>
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
};

struct BuildEvents {
  std::function<void(uint64_t bytes)> announce;  // before anything is written
  Progress progress;
  // The written model before it gets its name, to be measured; an error leaves nothing behind.
  std::function<Status(const std::filesystem::path& model, BuildReport& report)> judge;
};

Result<BuildReport> make_build(const convert::Source& source, const BuildRequest& request,
                               ThreadPool& pool, const BuildEvents& events);

}  // namespace sluice::quantize
