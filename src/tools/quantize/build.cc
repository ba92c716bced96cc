#include "tools/quantize/build.h"

#include <fmt/format.h>

#include <chrono>
#include <functional>

#include "tools/convert/build_place.h"
#include "tools/convert/vision_tower.h"
#include "tools/quantize/build_identity.h"
#include "tools/quantize/build_journal.h"

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
  if (source.mmproj != nullptr) out.push_back(source.mmproj->file->files().front());
  return out;
}

bool is_compensated(const BuildRequest& request) {
  const auto* how = std::get_if<SafetensorsRequest>(&request.how);
  return how != nullptr && how->compensation != nullptr;
}

using Write = std::function<Status(const fs::path& model, BuildJournal& journal)>;

// `lone_name`: of the weights' file in a folder; empty if the folder is the model.
Status write_in_place(const convert::Source& source, const BuildRequest& request,
                      const std::string& plan_identity, uint64_t bytes,
                      const std::string& lone_name, const BuildEvents& events, BuildReport& report,
                      const Write& write) {
  using convert::BuildPlace;
  SLUICE_ASSIGN(auto place,
                BuildPlace::create(request.out, files_of(source), request.overwrite,
                                   bytes + kBesideWeights, BuildPlace::Leftover::kKeep));
  SLUICE_ASSIGN(BuildIdentity identity, identity_of(source));
  identity.request = plan_identity;
  if (events.announce) events.announce(bytes);
  const fs::path& folder = place.staging();
  auto journal = BuildJournal::open(folder, identity, events.notice);
  if (!journal.ok()) {
    place.leave();  // it is another run's
    return std::move(journal).error();
  }
  const auto make = [&]() -> Status {
    const fs::path model = lone_name.empty()           ? folder
                           : place.file_name().empty() ? folder / lone_name
                                                       : folder / place.file_name();
    SLUICE_TRY(write(model, *journal));
    if (events.judge) SLUICE_TRY(events.judge(model, report));
    return write_report(report, folder,
                        [&](const std::string& name) { return place.companion(name); });
  };
  const Status made = make();
  if (!made.ok()) {
    const bool some = journal->finished() > 0;
    // Memory that is short now may be there later.
    const bool short_of_memory = some && made.error().code == ErrorCode::kDoesNotFit;
    // Rounded over hours: who accepts it after all should not have to wait for it again.
    const bool dear = some && made.error().code == ErrorCode::kRefused && is_compensated(request);
    if ((short_of_memory || dear) && events.notice)
      events.notice(
          fmt::format("what is finished stays in {}; the same command{} goes on from there",
                      folder.string(), dear ? " that accepts it" : ""));
    if (made.error().code == ErrorCode::kInterrupted || short_of_memory || dear) place.leave();
    return made;
  }
  SLUICE_TRY(journal->remove());
  return place.commit();
}

Status make_gguf(const convert::Source& source, const BuildRequest& request, const GgufRequest& how,
                 ThreadPool& pool, const BuildEvents& events, BuildReport& report) {
  SLUICE_ASSIGN(const GgufPlan plan, plan_gguf(source, how));
  const uint64_t bytes = plan.bytes + (plan.tower ? plan.tower->bytes : 0);
  return write_in_place(source, request, plan_identity(plan), bytes,
                        fmt::format("model-{}.gguf", request.target), events, report,
                        [&](const fs::path& model, BuildJournal& journal) {
                          return write_gguf(source, plan, model, pool, events, journal, report);
                        });
}

Status make_safetensors(const convert::Source& source, const BuildRequest& request,
                        ThreadPool& pool, const BuildEvents& events, BuildReport& report) {
  const auto& how = std::get<SafetensorsRequest>(request.how);
  if (!how.recipe->layouts.empty()) report.layout = layout_name(how.layout);
  SLUICE_ASSIGN(const SafetensorsPlan plan, plan_safetensors(source, how));
  if (request.out.extension() == ".gguf")
    return usage_error(request.out.string(), "a safetensors build is a folder, not a .gguf file",
                       "Name a folder");
  return write_in_place(source, request, plan_identity(how, plan), plan.bytes, {}, events, report,
                        [&](const fs::path& folder, BuildJournal& journal) {
                          return write_safetensors(source, how, plan, folder, pool, events, journal,
                                                   report);
                        });
}

}  // namespace

Result<BuildReport> make_build(const convert::Source& source, const BuildRequest& request,
                               ThreadPool& pool, const BuildEvents& events) {
  const auto start = std::chrono::steady_clock::now();
  BuildReport report;
  report.source = name_of(source.path);
  report.target = request.target;
  report.automatic = request.automatic;
  const auto* gguf = std::get_if<GgufRequest>(&request.how);
  SLUICE_TRY(gguf != nullptr ? make_gguf(source, request, *gguf, pool, events, report)
                             : make_safetensors(source, request, pool, events, report));
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace sluice::quantize
