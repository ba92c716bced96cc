#include "cli/version.h"

#include <fmt/format.h>

#include "backend/cpu/detect.h"
#include "backend/registry.h"
#include "base/json.h"
#include "cli/build_info.h"

namespace sluice::cli {

std::string version_text(bool json) {
  std::vector<std::string> sets;
  for (const auto set : cpu::supported_instruction_sets())
    sets.emplace_back(cpu::instruction_set_name(set));
  const auto backends = backend::built_backends();
  if (json) {
    const auto list = [](const std::vector<std::string>& names) {
      Json::Array items;
      for (const std::string& name : names) items.emplace_back(name);
      return Json(std::move(items));
    };
    Json document = Json::object();
    document.set("version", kVersion);
    document.set("commit", kCommit);
    document.set("compiler", kCompiler);
    document.set("backends", list(backends));
    document.set("instruction_sets", list(sets));
    return document.dump() + "\n";
  }
  return fmt::format("sluice {} (commit {})\ncompiler: {}\nbackends: {}\ninstruction sets: {}\n",
                     kVersion, kCommit, kCompiler, fmt::join(backends, " "), fmt::join(sets, " "));
}

}  // namespace sluice::cli
