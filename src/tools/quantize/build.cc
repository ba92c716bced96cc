#include "tools/quantize/build.h"

#include <fmt/format.h>

#include <chrono>

#include "tools/convert/build_place.h"

namespace sluice::quantize {
namespace {

namespace fs = std::filesystem;

// Configs, tokenizer, report and the container's own headers.
constexpr uint64_t kBesideWeights = uint64_t{64} << 20;

std::string name_of(const fs::path& path) {
  std::error_code ignored;
  fs::path whole = fs::weakly_canonical(path, ignored);
  if (!whole.has_filename()) whole = whole.parent_path();
  return whole.filename().string();
}

std::vector<fs::path> files_of(const convert::Source& source) {
  std::vector<fs::path> out = source.checkpoint->files();
  out.push_back(source.path);
  if (!source.gguf()) out.push_back(source.checkpoint->folder());
  return out;
}

}  // namespace

Result<BuildReport> make_build(const convert::Source& source, const BuildRequest& request,
                               ThreadPool& pool, const BuildEvents& events) {
  const auto start = std::chrono::steady_clock::now();
  BuildReport report;
  report.source = name_of(source.path);
  report.target = request.target;
  const auto finish = [&](const convert::BuildPlace& place, const fs::path& model) -> Status {
    if (events.judge) SLUICE_TRY(events.judge(model, report));
    return write_report(report, place.staging() / place.companion("quantization_report.json"),
                        place.staging() / place.companion("README.md"));
  };
  if (const auto* gguf = std::get_if<GgufRequest>(&request.how)) {
    SLUICE_ASSIGN(const GgufPlan plan, plan_gguf(source, *gguf));
    SLUICE_ASSIGN(auto place,
                  convert::BuildPlace::create(request.out, files_of(source), request.overwrite,
                                              plan.bytes + kBesideWeights));
    if (events.announce) events.announce(plan.bytes);
    const std::string name = place.file_name().empty()
                                 ? fmt::format("model-{}.gguf", request.target)
                                 : place.file_name();
    const fs::path model = place.staging() / name;
    SLUICE_TRY(write_gguf(source, plan, model, pool, events.progress, report));
    SLUICE_TRY(finish(place, model));
    SLUICE_TRY(place.commit());
  } else {
    const auto& how = std::get<SafetensorsRequest>(request.how);
    if (!how.recipe->layouts.empty()) report.layout = layout_name(how.layout);
    SLUICE_ASSIGN(const SafetensorsPlan plan, plan_safetensors(source, how));
    if (request.out.extension() == ".gguf")
      return usage_error(request.out.string(), "a safetensors build is a folder, not a .gguf file",
                         "Name a folder");
    SLUICE_ASSIGN(auto place,
                  convert::BuildPlace::create(request.out, files_of(source), request.overwrite,
                                              plan.bytes + kBesideWeights));
    if (events.announce) events.announce(plan.bytes);
    SLUICE_TRY(
        write_safetensors(source, how, plan, place.staging(), pool, events.progress, report));
    SLUICE_TRY(finish(place, place.staging()));
    SLUICE_TRY(place.commit());
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace sluice::quantize
