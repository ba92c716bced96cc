#include "tools/convert/build_place.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "checkpoint/tower_name.h"

namespace sluice::convert {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGgufSuffix = ".gguf";

Error file_error(const fs::path& path, const char* action, const std::error_code& error) {
  return failed(path.string(), fmt::format("cannot {} it: {}", action, error.message()));
}

// A folder that sluice or a hub made, and that holds nothing but files.
bool is_build(const fs::path& folder) {
  bool model = false;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_directory(error)) return false;
    model = model || entry.path().filename() == "config.json" ||
            entry.path().extension() == kGgufSuffix;
  }
  return !error && (model || fs::is_empty(folder, error));
}

Status check_replaceable(const fs::path& out, bool overwrite) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(out, error))) return {};
  const bool empty_folder = fs::is_directory(out, error) && fs::is_empty(out, error);
  if (!overwrite && !empty_folder)
    return usage_error(out.string(), "exists already", "Choose another name or add --overwrite");
  if (fs::is_directory(out, error) && !is_build(out)) {
    return usage_error(out.string(), "is a folder with other things than a model in it",
                       "Choose another name, or remove it yourself");
  }
  return {};
}

uint64_t bytes_in(const fs::path& folder) {
  uint64_t sum = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error)) sum += entry.file_size(error);
  }
  return sum;
}

Status check_room(const fs::path& folder, uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) return file_error(folder, "look at the free space of", error);
  if (space.available >= bytes) return {};
  return Error{
      ErrorCode::kDoesNotFit, folder.string(),
      fmt::format("{:.2f} GB are needed, {:.2f} GB are free", static_cast<double>(bytes) / 1e9,
                  static_cast<double>(space.available) / 1e9),
      "Free some space or choose another disk"};
}

}  // namespace

Result<BuildPlace> BuildPlace::create(const fs::path& out, const std::vector<fs::path>& sources,
                                      bool overwrite, uint64_t bytes, Leftover leftover) {
  std::error_code error;
  fs::path whole = fs::absolute(out, error).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();  // "folder/"
  for (const fs::path& source : sources) {
    if (fs::equivalent(whole, source, error))
      return usage_error(out.string(), "is the source", "Choose another name for the result");
  }
  SLUICE_TRY(check_replaceable(whole, overwrite));
  if (!fs::is_directory(whole.parent_path(), error)) {
    return usage_error(out.string(),
                       fmt::format("there is no folder {}", whole.parent_path().string()),
                       "Make the folder first");
  }
  fs::path staging = whole;
  staging += ".partial";
  if (leftover == Leftover::kKeep) bytes -= std::min(bytes, bytes_in(staging));
  SLUICE_TRY(check_room(whole.parent_path(), bytes));
  BuildPlace place;
  place.out_ = whole;
  place.overwrite_ = overwrite;
  if (whole.extension() == kGgufSuffix) place.file_name_ = whole.filename().string();
  for (const fs::path& tower : place.towers_beside()) {
    for (const fs::path& source : sources) {
      if (fs::equivalent(tower, source, error))
        return usage_error(tower.string(), "belongs to that name and is part of the source",
                           "Choose another name for the result");
    }
    if (!overwrite)
      return usage_error(tower.string(), "exists already and belongs to that name",
                         "Choose another name or add --overwrite");
  }
  for (const char* name : {"README.md", "quantization_report.json", "error_by_layer.svg",
                           "size_by_format.svg", "draft_acceptance.svg"}) {
    const fs::path beside = whole.parent_path() / place.companion(name);
    if (!overwrite && !place.file_name_.empty() && fs::exists(beside, error))
      return usage_error(beside.string(), "exists already and belongs to that name",
                         "Choose another name or add --overwrite");
  }
  if (leftover == Leftover::kRemove || !fs::is_directory(staging, error))
    fs::remove_all(staging, error);
  if (error) return file_error(staging, "remove", error);
  fs::create_directory(staging, error);
  if (error) return file_error(staging, "make", error);
  place.staging_ = std::move(staging);
  return place;
}

BuildPlace::BuildPlace(BuildPlace&& other) noexcept { *this = std::move(other); }

BuildPlace& BuildPlace::operator=(BuildPlace&& other) noexcept {
  std::swap(out_, other.out_);
  std::swap(staging_, other.staging_);
  std::swap(file_name_, other.file_name_);
  std::swap(overwrite_, other.overwrite_);
  return *this;
}

BuildPlace::~BuildPlace() {
  if (staging_.empty()) return;
  std::error_code ignored;
  fs::remove_all(staging_, ignored);
}

std::string BuildPlace::companion(const std::string& name) const {
  if (file_name_.empty()) return name;
  return fmt::format("{}.{}", fs::path(file_name_).stem().string(), name);
}

Status BuildPlace::commit() {
  SLUICE_TRY(file_name_.empty() ? replace_folder() : move_files());
  staging_.clear();
  return {};
}

Status BuildPlace::replace_folder() {
  std::error_code error;
  fs::path old = out_;
  old += ".replaced";
  const bool replaces = fs::exists(out_, error);
  if (replaces) {
    fs::remove_all(old, error);
    fs::rename(out_, old, error);
    if (error) return file_error(out_, "rename", error);
  }
  fs::rename(staging_, out_, error);
  if (error) {
    const Error problem = file_error(staging_, "rename", error);
    if (replaces) fs::rename(old, out_, error);
    return problem;
  }
  if (replaces) fs::remove_all(old, error);
  return {};
}

std::vector<fs::path> BuildPlace::towers_beside() const {
  std::vector<fs::path> out;
  if (file_name_.empty()) return out;
  const std::string stem = fs::path(file_name_).stem().string();
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(out_.parent_path(), error)) {
    if (checkpoint::is_tower_name(entry.path().filename().string(), stem))
      out.push_back(entry.path());
  }
  return out;
}

// Companions first: a lone file that is there is whole. A tower of the build that was replaced goes
// last, since its model would be another without it.
Status BuildPlace::move_files() {
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(staging_, error)) files.push_back(entry.path());
  if (error) return file_error(staging_, "list", error);
  std::stable_partition(files.begin(), files.end(),
                        [&](const fs::path& file) { return file.filename() != file_name_; });
  std::vector<fs::path> replaced = towers_beside();
  for (const fs::path& file : files) {
    const fs::path place = out_.parent_path() / file.filename();
    fs::rename(file, place, error);
    if (error) return file_error(file, "rename", error);
    std::erase(replaced, place);
  }
  for (const fs::path& tower : replaced) {
    fs::remove(tower, error);
    if (error) return file_error(tower, "remove", error);
  }
  fs::remove_all(staging_, error);
  return {};
}

}  // namespace sluice::convert
