#include "cli/build_options.h"

#include <fmt/format.h>

#include "checkpoint/checkpoint.h"
#include "cli/session.h"
#include "tools/convert/vision_tower.h"

namespace sluice::cli {

void BuildOptions::declare(CLI::App& app) {
  app.add_option("IN", in, "the build to start from: as MODEL of every other command")->required();
  declare_output(app);
}

void BuildOptions::declare_output(CLI::App& app) {
  app.add_option("OUT", out, "folder or .gguf file to write; must not exist")->required();
  app.add_option("--threads", threads, "cores to use (default: all that the process may use)")
      ->check(CLI::Range(1, 1024));
  app.add_flag("--overwrite", overwrite, "replaces OUT if it is a build");
}

Result<convert::Source> BuildOptions::open(const Console& console, TowerBeside tower,
                                           convert::DamagedDraft damaged) const {
  const auto folders = installed_model_folders();
  SLUICE_ASSIGN(const auto path, checkpoint::resolve_model(in, folders));
  SLUICE_ASSIGN(auto source, convert::open_source(path, damaged));
  if (tower == TowerBeside::kOpen) SLUICE_TRY(convert::open_tower_beside(source));
  for (const std::string& note : source.checkpoint->notes()) console.note(note);
  return source;
}

Result<int> BuildOptions::cores() const { return threads > 0 ? threads : usable_cores(); }

quantize::BuildEvents BuildOptions::events(const Console& console) const {
  quantize::BuildEvents events;
  events.announce = [&console, name = out](uint64_t bytes) {
    if (!console.settings().quiet)
      fmt::print(stderr, "sluice: writes {:.2f} MB to {}\n", static_cast<double>(bytes) / 1e6,
                 name);
  };
  events.notice = [&console](const std::string& line) {
    if (!console.settings().quiet) fmt::print(stderr, "sluice: {}\n", line);
  };
  events.progress = [&console](size_t done, size_t total, const std::string& name) {
    console.progress(fmt::format("{} of {}: {}", done + 1, total, name));
    return interrupt_count() == 0;
  };
  return events;
}

void VisionOptions::declare(CLI::App& app) {
  app.add_flag("--strip-vision", strip, "leaves the vision tower out");
  app.add_option("--vision-type", type,
                 "type of the matrices in the vision tower's file beside a GGUF (default: as they "
                 "are stored)")
      ->check(CLI::IsMember({"bf16", "f16", "f32", "q8_0"}));
}

Status VisionOptions::set(quantize::GgufRequest& request) const {
  if (strip && !type.empty())
    return usage_error("--vision-type", "there is no tower with --strip-vision",
                       "Leave one of the two out");
  request.keep_vision = !strip;
  if (!type.empty()) request.vision_type = quantize::find_tower_type(type);
  return {};
}

Status VisionOptions::set(quantize::SafetensorsRequest& request) const {
  if (!type.empty()) return usage_error("--vision-type", "is for GGUF builds", "Leave it out");
  request.keep_vision = !strip;
  return {};
}

void print_report(const Console& console, const quantize::BuildReport& report,
                  const std::string& out) {
  console.clear_progress();
  if (console.settings().json) {
    Json document = quantize::report_json(report);
    document.set("out", out);
    document.set("seconds", report.seconds);
    console.print_json(document);
  } else {
    console.print(quantize::report_text(report));
  }
}

}  // namespace sluice::cli
