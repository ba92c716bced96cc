#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <system_error>

#include "base/file.h"
#include "base/switches.h"
#include "checkpoint/checkpoint.h"

namespace sluice::checkpoint {
namespace {

namespace fs = std::filesystem;

// One component of a path that cannot lead out of its folder.
bool is_plain_name(std::string_view text) {
  return !text.empty() && text != "." && text != ".." &&
         text.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

bool is_folder(const fs::path& path) {
  std::error_code problem;
  return fs::is_directory(path, problem);
}

std::optional<fs::path> hub_cache() {
  if (const auto cache = environment("HF_HUB_CACHE")) return fs::path(*cache);
  if (const auto home = environment("HF_HOME")) return fs::path(*home) / "hub";
  if (const auto home = environment("HOME"))
    return fs::path(*home) / ".cache" / "huggingface" / "hub";
  return std::nullopt;
}

// The snapshot that `main` points to, or the only one there is.
std::optional<fs::path> snapshot(const fs::path& repository) {
  constexpr uint64_t kMaxRefBytes = 256;
  if (Result<std::string> ref = read_file(repository / "refs" / "main", kMaxRefBytes); ref.ok()) {
    std::erase_if(*ref, [](unsigned char c) { return std::isspace(c) != 0; });
    if (is_plain_name(*ref) && is_folder(repository / "snapshots" / *ref)) {
      return repository / "snapshots" / *ref;
    }
    return std::nullopt;
  }
  std::vector<fs::path> found;
  std::error_code problem;
  for (fs::directory_iterator next(repository / "snapshots", problem);
       !problem && next != fs::directory_iterator(); next.increment(problem)) {
    found.push_back(next->path());
  }
  return found.size() == 1 ? std::optional(found[0]) : std::nullopt;
}

}  // namespace

Result<fs::path> resolve_model(std::string_view model, std::span<const fs::path> installed) {
  std::error_code problem;
  const fs::path as_path(model);
  if (!model.empty() && fs::exists(fs::symlink_status(as_path, problem))) return as_path;

  std::vector<std::string> looked{fmt::format("path {}", model)};
  if (is_plain_name(model)) {
    std::vector<fs::path> folders;
    if (const auto models = environment("SLUICE_MODELS")) folders.emplace_back(*models);
    folders.insert(folders.end(), installed.begin(), installed.end());
    for (const fs::path& folder : folders) {
      if (is_folder(folder / model)) return folder / model;
      looked.push_back((folder / model).string());
    }
  }
  const size_t slash = model.find('/');
  const std::string_view organisation = model.substr(0, slash);
  const std::string_view name =
      slash == std::string_view::npos ? std::string_view() : model.substr(slash + 1);
  if (is_plain_name(organisation) && is_plain_name(name)) {
    if (const std::optional<fs::path> cache = hub_cache()) {
      const fs::path repository = *cache / fmt::format("models--{}--{}", organisation, name);
      if (const auto found = snapshot(repository)) return *found;
      looked.push_back(repository.string());
    }
  }
  return bad_input(std::string(model),
                   fmt::format("no such model; looked at: {}", fmt::join(looked, "; ")),
                   "Give a folder or file, the name of an installed model, or org/name from the "
                   "local Hugging Face cache");
}

}  // namespace sluice::checkpoint
