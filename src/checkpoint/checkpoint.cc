#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <set>
#include <system_error>

#include "base/check.h"
#include "checkpoint/rules.h"
#include "checkpoint/safetensors.h"

namespace sluice::checkpoint {

namespace fs = std::filesystem;

Status check_size_unchanged(const MappedFile& mapping) {
  std::error_code problem;
  const uint64_t size = fs::file_size(mapping.path(), problem);
  if (!problem && size == mapping.bytes().size()) return {};
  return file_violation(
      "ST-16", mapping.path().string(),
      problem ? fmt::format("it went away while it was opened ({})", problem.message())
              : fmt::format("it had {} bytes when it was opened and has {} now",
                            mapping.bytes().size(), size),
      "Wait until the download or copy has ended, then try again");
}

Result<Checkpoint> Checkpoint::open(const fs::path& path, Purpose purpose) {
  SLUICE_ASSIGN(Location where, locate(path));
  Checkpoint checkpoint;
  checkpoint.container_ = where.container;
  checkpoint.folder_ = std::move(where.folder);
  checkpoint.vision_beside_ = std::move(where.vision_beside);
  checkpoint.draft_beside_ = std::move(where.draft_beside);
  checkpoint.notes_ = std::move(where.notes);
  if (where.container == Container::kGguf) {
    SLUICE_TRY(checkpoint.open_gguf(where.files[0], purpose));
  } else if (where.index) {
    SLUICE_TRY(checkpoint.open_index(*where.index));
  } else {
    for (const fs::path& file : where.files) SLUICE_TRY(checkpoint.open_safetensors(file));
    SLUICE_TRY(checkpoint.index_names());
    if (path == where.files[0]) checkpoint.note_index_beside(path);
  }
  return checkpoint;
}

void Checkpoint::add_file(MappedFile mapping, std::vector<StoredTensor> tensors) {
  const int file = static_cast<int>(files_.size());
  files_.push_back(mapping.path());
  mappings_.push_back(std::move(mapping));
  tensors_.reserve(tensors_.size() + tensors.size());
  for (StoredTensor& tensor : tensors) {
    tensor.file = file;
    tensors_.push_back(std::move(tensor));
  }
}

// Only after all files: a growing vector moves the names that the keys borrow.
Status Checkpoint::index_names() {
  by_name_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto [found, is_new] = by_name_.emplace(tensors_[i].name, i);
    if (is_new) continue;
    const StoredTensor& first = tensors_[found->second];
    return tensor_violation(
        container_ == Container::kGguf ? "GG-19" : "ST-14", files_[tensors_[i].file].string(),
        first.name, fmt::format("it is also in {}", files_[first.file].filename().string()),
        "Two models or two versions of one lie in the folder: keep one of them");
  }
  return {};
}

Status Checkpoint::open_safetensors(const fs::path& path) {
  SLUICE_ASSIGN(MappedFile mapping, MappedFile::open(path));
  SLUICE_ASSIGN(SafetensorsFile file, parse_safetensors(mapping.bytes(), path.string()));
  SLUICE_TRY(check_size_unchanged(mapping));
  add_file(std::move(mapping), std::move(file.tensors));
  return {};
}

Status Checkpoint::open_index(const fs::path& index) {
  SLUICE_ASSIGN(const std::string text, read_file(index, kMaxIndexBytes));
  SLUICE_ASSIGN(const WeightMap weight_map, parse_safetensors_index(text, index.string()));

  std::set<std::string> shards;  // sorted: the index lists them in the order of its tensor names
  for (const auto& [tensor, shard] : weight_map) shards.insert(shard);
  for (const std::string& shard : shards) {
    const fs::path path = folder_ / shard;
    std::error_code problem;
    if (!fs::exists(path, problem)) {
      return file_violation("ST-14", path.string(),
                            fmt::format("listed in {} and not there", index.string()),
                            "The download is incomplete: fetch the missing file");
    }
    SLUICE_TRY(open_safetensors(path));
  }
  SLUICE_TRY(index_names());

  for (const auto& [name, shard] : weight_map) {
    const StoredTensor* tensor = find(name);
    if (tensor == nullptr || files_[tensor->file].filename() != shard) {
      return tensor_violation(
          "ST-14", index.string(), name,
          fmt::format("the index places it in {}, which does not hold it", shard),
          "Index and shards belong to different versions: download them again");
    }
  }
  if (weight_map.size() < tensors_.size()) {
    notes_.push_back(
        fmt::format("{}: {} tensors of its files are not in the index; they are read all the same",
                    index.string(), tensors_.size() - weight_map.size()));
  }
  std::error_code problem;
  for (fs::directory_iterator next(folder_, problem); !problem && next != fs::directory_iterator();
       next.increment(problem)) {
    const std::string name = next->path().filename().string();
    if (!name.ends_with(".safetensors") || shards.contains(name)) continue;
    notes_.push_back(fmt::format("{}: not read, because {} does not list it", next->path().string(),
                                 index.filename().string()));
  }
  return {};
}

// A file named by the user is read alone; whoever forgot the draft head in the second file is told.
void Checkpoint::note_index_beside(const fs::path& file) {
  const Result<Location> folder = locate(folder_);
  if (!folder.ok() || !folder->index) return;
  const Result<std::string> text = read_file(*folder->index, kMaxIndexBytes);
  if (!text.ok()) return;
  const Result<WeightMap> weight_map = parse_safetensors_index(*text, folder->index->string());
  if (!weight_map.ok()) return;
  size_t elsewhere = 0;
  for (const auto& [tensor, shard] : *weight_map) elsewhere += shard != file.filename() ? 1 : 0;
  if (elsewhere == 0) return;
  notes_.push_back(fmt::format(
      "{}: read alone; {} beside it lists {} tensors in other files. Name the folder to read all",
      file.string(), folder->index->filename().string(), elsewhere));
}

const StoredTensor* Checkpoint::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

Result<std::optional<Json>> Checkpoint::side_json(std::string_view name) const {
  SLUICE_CHECK(name.find('/') == std::string_view::npos, "a plain name is wanted, not {}", name);
  const fs::path path = folder_ / name;
  std::error_code problem;
  // A dangling link is an error below, not an absent file: in a download cache it means lost data.
  if (fs::symlink_status(path, problem).type() == fs::file_type::not_found)
    return std::optional<Json>();
  SLUICE_ASSIGN(const std::string text, read_file(path, kMaxSideJsonBytes));
  Result<Json> json = parse_json(text);
  if (!json.ok()) {
    Error error = std::move(json).error();
    error.what = path.string();
    if (error.remedy.empty()) error.remedy = kFetchAgain;
    return error;
  }
  return std::optional<Json>(std::move(json).value());
}

const MappedFile& Checkpoint::mapping(const StoredTensor& tensor) const {
  SLUICE_CHECK(tensor.file >= 0 && static_cast<size_t>(tensor.file) < mappings_.size(),
               "file {} of {}", tensor.file, mappings_.size());
  return mappings_[static_cast<size_t>(tensor.file)];
}

}  // namespace sluice::checkpoint
