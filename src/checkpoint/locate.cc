#include "checkpoint/locate.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <functional>
#include <map>
#include <system_error>

#include "checkpoint/rules.h"
#include "checkpoint/tower_name.h"

namespace sluice::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr std::string_view kLoneName = "model.safetensors";

std::string lower_case(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool is_vision_name(const std::string& name) {
  return lower_case(name).find("mmproj") != std::string::npos;
}
bool is_draft_name(const std::string& name) { return lower_case(name).starts_with("mtp-"); }

// Names in a folder, sorted. Links are listed by their own name: a download cache consists of them.
Result<std::vector<std::string>> list(const fs::path& folder) {
  std::error_code problem;
  std::vector<std::string> names;
  fs::directory_iterator next(folder, problem);
  while (!problem && next != fs::directory_iterator()) {
    names.push_back(next->path().filename().string());
    next.increment(problem);
  }
  if (problem) {
    return bad_input(folder.string(), "cannot read the folder: " + problem.message());
  }
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> ending_in(const std::vector<std::string>& names, std::string_view ending) {
  std::vector<std::string> matching;
  std::ranges::copy_if(names, std::back_inserter(matching),
                       [&](const std::string& name) { return name.ends_with(ending); });
  return matching;
}

// At most five names, for a message.
std::string enumerate(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  const std::vector<std::string> shown(names.begin(),
                                       names.begin() + std::min(kShown, names.size()));
  std::string text = fmt::format("{}", fmt::join(shown, ", "));
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

// What the companions of a text model's GGUF are named after.
std::string stem_of(const std::string& name) {
  const std::optional<SplitName> split = parse_split_name(name);
  return split ? split->prefix : fs::path(name).stem().string();
}

void record_neighbours(const std::vector<std::string>& names, Location& where) {
  std::string own;
  if (where.container == Container::kGguf) own = stem_of(where.files[0].filename().string());
  std::vector<std::string> towers, others;  // stems of the folder's other models
  for (const std::string& name : ending_in(names, ".gguf")) {
    const fs::path path = where.folder / name;
    if (std::ranges::find(where.files, path) != where.files.end()) continue;
    if (is_vision_name(name)) {
      towers.push_back(name);
    } else if (is_draft_name(name)) {
      where.draft_beside.push_back(path);
    } else if (stem_of(name) != own) {
      others.push_back(stem_of(name));
    }
  }
  const auto named_after = [&](const std::string& stem) {
    return [&](const std::string& tower) { return is_tower_name(tower, stem); };
  };
  if (!own.empty() && std::ranges::any_of(towers, named_after(own))) {
    std::erase_if(towers, std::not_fn(named_after(own)));
  } else {
    for (const std::string& stem : others) std::erase_if(towers, named_after(stem));
  }
  for (const std::string& name : towers) where.vision_beside.push_back(where.folder / name);
}

// The one model among the *.gguf of a folder: parts of a split count as one, mmproj and draft heads
// do not.
Result<fs::path> only_gguf(const fs::path& folder, const std::vector<std::string>& gguf) {
  std::map<std::string, std::string> models;  // what identifies the model -> its first part
  for (const std::string& name : gguf) {
    if (is_vision_name(name) || is_draft_name(name)) continue;
    const std::optional<SplitName> split = parse_split_name(name);
    if (!split) {
      models.emplace(name, name);
    } else {
      models.emplace(fmt::format("{} of {}", split->prefix, split->count),
                     split_name(split->prefix, 1, split->count));
    }
  }
  if (models.empty()) {
    return bad_input(folder.string(),
                     fmt::format("holds {} and no text model to go with it", enumerate(gguf)),
                     "Put the text model's GGUF into the folder, or name it");
  }
  if (models.size() > 1) {
    std::vector<std::string> firsts;
    for (const auto& [key, first] : models) firsts.push_back(first);
    return bad_input(folder.string(),
                     fmt::format("holds {} GGUF models: {}", firsts.size(), enumerate(firsts)),
                     "Name the one to use");
  }
  return folder / models.begin()->second;
}

// The index to use: the usual name, or the only one there is.
Result<std::optional<fs::path>> index_in(const fs::path& folder,
                                         const std::vector<std::string>& names) {
  const std::vector<std::string> found = ending_in(names, ".safetensors.index.json");
  if (found.empty()) return std::optional<fs::path>();
  if (std::ranges::find(found, kIndexName) != found.end())
    return std::optional(folder / kIndexName);
  if (found.size() > 1) {
    return bad_input(folder.string(),
                     fmt::format("holds {} index files: {}", found.size(), enumerate(found)),
                     "Name the one to use");
  }
  return std::optional(folder / found[0]);
}

Result<Location> locate_in_folder(const fs::path& folder) {
  Location where;
  where.folder = folder;
  SLUICE_ASSIGN(const std::vector<std::string> names, list(folder));
  const std::vector<std::string> safetensors = ending_in(names, ".safetensors");
  const std::vector<std::string> gguf = ending_in(names, ".gguf");
  SLUICE_ASSIGN(where.index, index_in(folder, names));
  if (where.index) {
    // Its shards are checked when it is opened.
  } else if (std::ranges::find(safetensors, kLoneName) != safetensors.end()) {
    where.files.push_back(folder / kLoneName);
    if (safetensors.size() > 1) {
      std::vector<std::string> others = safetensors;
      std::erase(others, kLoneName);
      where.notes.push_back(
          fmt::format("{}: only {} is read; without an index, {} beside it {} not", folder.string(),
                      kLoneName, enumerate(others), others.size() == 1 ? "is" : "are"));
    }
  } else if (!safetensors.empty()) {
    for (const std::string& name : safetensors) where.files.push_back(folder / name);
  } else if (!gguf.empty()) {
    where.container = Container::kGguf;
    SLUICE_ASSIGN(const fs::path first, only_gguf(folder, gguf));
    where.files.push_back(first);
  } else {
    return bad_input(
        folder.string(), "holds no weights (*.safetensors or *.gguf)",
        "Name a folder or a file with a model's weights; sluice reads no other container");
  }
  record_neighbours(names, where);
  if (where.container == Container::kSafetensors && !gguf.empty()) {
    where.notes.push_back(fmt::format("{}: the safetensors are read, not {} beside them",
                                      folder.string(), enumerate(gguf)));
  }
  return where;
}

Result<Location> locate_file(const fs::path& path) {
  Location where;
  where.folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const std::string name = path.filename().string();
  if (name.ends_with(".index.json")) {
    where.index = path;
  } else if (name.ends_with(".safetensors")) {
    where.files.push_back(path);
  } else if (name.ends_with(".gguf")) {
    where.container = Container::kGguf;
    where.files.push_back(path);
  } else {
    return bad_input(path.string(), "not a model file",
                     "Name a folder, a *.gguf, a *.safetensors or a *.index.json");
  }
  Result<std::vector<std::string>> names = list(where.folder);
  if (names.ok())
    record_neighbours(*names, where);  // a folder that cannot be listed only has no neighbours
  return where;
}

}  // namespace

std::optional<SplitName> parse_split_name(std::string_view name) {
  // PREFIX-00001-of-00003.gguf: the part after PREFIX has 20 characters.
  constexpr size_t kTail = 20;
  if (name.size() <= kTail) return std::nullopt;
  const std::string_view tail = name.substr(name.size() - kTail);
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf")
    return std::nullopt;
  const auto five_digits = [](std::string_view text) -> std::optional<int> {
    int value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end != text.data() + text.size() || value < 1)
      return std::nullopt;
    return value;
  };
  const std::optional<int> number = five_digits(tail.substr(1, 5));
  const std::optional<int> count = five_digits(tail.substr(10, 5));
  if (!number || !count || *number > *count) return std::nullopt;
  return SplitName{std::string(name.substr(0, name.size() - kTail)), *number, *count};
}

std::string split_name(std::string_view prefix, int number, int count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, number, count);
}

Result<Location> locate(const fs::path& path) {
  std::error_code problem;
  const fs::file_status status = fs::status(path, problem);
  if (fs::is_directory(status)) return locate_in_folder(path);
  if (!fs::exists(status)) {
    const bool dangling = fs::is_symlink(fs::symlink_status(path, problem));
    return bad_input(path.string(),
                     dangling ? "is a link to a file that is not there" : "does not exist",
                     dangling ? "Download the model again" : "");
  }
  return locate_file(path);
}

}  // namespace sluice::checkpoint
