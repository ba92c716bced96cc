#include "cli/version.h"

#include <fmt/format.h>

#include "backend/registry.h"
#include "base/json.h"
#include "cli/build_info.h"

namespace sluice::cli {

std::string version_text(bool json) {
  const auto sets = backend::instruction_sets();
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
