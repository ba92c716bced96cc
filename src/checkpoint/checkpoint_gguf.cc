// The GGUF side of Checkpoint: one file or the parts of a split, and files that are no text model.
#include <fmt/format.h>

#include <system_error>

#include "checkpoint/checkpoint.h"
#include "checkpoint/rules.h"

namespace sluice::checkpoint {
namespace {

namespace fs = std::filesystem;

// The text of a key, or "" if it is absent or no text.
std::string text_or_empty(const GgufMetadata& metadata, std::string_view key) {
  const Result<std::optional<std::string>> value = metadata.string(key);
  return value.ok() ? value->value_or("") : "";
}

// `blk.N.rest` -> N.
std::optional<uint64_t> block_of(std::string_view name) {
  if (!name.starts_with("blk.")) return std::nullopt;
  uint64_t block = 0;
  size_t at = 4;
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9' && block < 1'000'000; ++at) {
    block = block * 10 + static_cast<uint64_t>(name[at] - '0');
  }
  if (at == 4 || at == name.size() || name[at] != '.') return std::nullopt;
  return block;
}

// A file made with the converter's --mtp: embedding, norm, maybe the head, and the last block only.
bool is_draft_only(const GgufMetadata& metadata, std::span<const StoredTensor> tensors) {
  const std::string prefix = text_or_empty(metadata, "general.architecture");
  const auto blocks = metadata.unsigned_integer(prefix + ".block_count");
  if (!blocks.ok() || blocks->value_or(0) < 2) return false;
  bool has_draft = false;
  for (const StoredTensor& tensor : tensors) {
    const std::optional<uint64_t> block = block_of(tensor.name);
    if (block && *block != **blocks - 1) return false;
    has_draft = has_draft || block.has_value();
  }
  return has_draft;
}

// Explains GGUF files that are parts of a model, given as the model.
Status refuse_parts(const std::string& file, const GgufMetadata& metadata,
                    std::span<const StoredTensor> tensors) {
  const std::string kind = text_or_empty(metadata, "general.type");
  if (text_or_empty(metadata, "general.architecture") == "clip" || kind == "mmproj") {
    return file_violation(
        "GG-15", file, "this is a vision tower (mmproj), not a language model",
        "Name the text model's GGUF; a mmproj file in the same folder is found by itself");
  }
  if (kind == "imatrix") {
    return file_violation("GG-15", file, "this is an importance matrix, not a language model",
                          "Name the text model's GGUF");
  }
  if (is_draft_only(metadata, tensors)) {
    return file_violation(
        "GG-15", file, "this is a draft head alone (made with --mtp), without the model's layers",
        "Name the text model's GGUF; builds with the draft head inside need no second file");
  }
  return {};
}

// split.no (zero-based) and split.count of a part; 0 of 1 if the keys are absent.
struct SplitKeys {
  uint64_t number = 0, count = 1;
};

Result<SplitKeys> split_keys(const GgufMetadata& metadata) {
  SLUICE_ASSIGN(const auto number, metadata.unsigned_integer("split.no"));
  SLUICE_ASSIGN(const auto count, metadata.unsigned_integer("split.count"));
  return SplitKeys{number.value_or(0), count.value_or(1)};
}

constexpr std::string_view kRenameParts =
    "Give the parts back the names under which they were published";

Error missing_part(const fs::path& path) {
  return file_violation("GG-19", path.string(), "this part of the split is not there",
                        "The download is incomplete: fetch the missing part");
}

}  // namespace

// Adds one file and returns its metadata.
Result<GgufMetadata> Checkpoint::add_gguf(const fs::path& path, Purpose purpose) {
  SLUICE_ASSIGN(MappedFile mapping, MappedFile::open(path));
  SLUICE_ASSIGN(GgufFile content, parse_gguf(mapping.bytes(), path.string()));
  SLUICE_TRY(check_size_unchanged(mapping));
  for (const auto& [name, type] : content.undecodable) {
    const std::string why = fmt::format("sluice does not decode its type {}", type);
    if (purpose == Purpose::kModel) {
      return tensor_violation("GG-11", path.string(), name, why, kAnotherBuild);
    }
    notes_.push_back(fmt::format("{}, tensor {}: left out, {}", path.string(), quote(name), why));
  }
  left_out_ += content.undecodable.size();
  notes_.insert(notes_.end(), content.notes.begin(), content.notes.end());
  add_file(std::move(mapping), std::move(content.tensors));
  return std::move(content.metadata);
}

Status Checkpoint::open_gguf(const fs::path& first, Purpose purpose) {
  std::error_code problem;
  if (!fs::exists(first, problem)) return missing_part(first);
  SLUICE_ASSIGN(GgufMetadata metadata, add_gguf(first, purpose));
  gguf_ = std::make_unique<GgufMetadata>(std::move(metadata));
  SLUICE_TRY(open_later_parts(first, purpose));
  SLUICE_TRY(index_names());
  return purpose == Purpose::kModel ? refuse_parts(first.string(), *gguf_, tensors_) : Status();
}

// Rule GG-19. The names of the parts are derived from the first one's own name, so they stay in its
// folder.
Status Checkpoint::open_later_parts(const fs::path& first, Purpose purpose) {
  SLUICE_ASSIGN(const SplitKeys keys, split_keys(*gguf_));
  const std::optional<SplitName> name = parse_split_name(first.filename().string());
  if (keys.number != 0) {
    const std::string remedy = name ? ": " + split_name(name->prefix, 1, name->count) : "";
    return file_violation("GG-19", first.string(),
                          fmt::format("this is part {} of a split", keys.number + 1),
                          "Name the first part" + remedy);
  }
  if (keys.count == 1) return {};
  if (keys.count == 0) return file_violation("GG-19", first.string(), "split.count is 0");
  if (!name || name->number != 1 || static_cast<uint64_t>(name->count) != keys.count) {
    return file_violation(
        "GG-19", first.string(),
        fmt::format("split.count is {}, but the name does not end in -00001-of-{:05}.gguf",
                    keys.count, keys.count),
        kRenameParts);
  }
  for (int number = 2; number <= name->count; ++number) {
    const fs::path path = folder_ / split_name(name->prefix, number, name->count);
    std::error_code problem;
    if (!fs::exists(path, problem)) return missing_part(path);
    SLUICE_ASSIGN(const GgufMetadata metadata, add_gguf(path, purpose));
    SLUICE_ASSIGN(const SplitKeys own, split_keys(metadata));
    if (own.number != static_cast<uint64_t>(number - 1) || own.count != keys.count) {
      return file_violation("GG-19", path.string(),
                            fmt::format("its keys say part {} of {}, its name part {} of {}",
                                        own.number + 1, own.count, number, name->count),
                            kRenameParts);
    }
  }
  const uint64_t found = tensors_.size() + left_out_;
  SLUICE_ASSIGN(const auto total, gguf_->unsigned_integer("split.tensors.count"));
  if (total && *total != found) {
    return file_violation(
        "GG-19", first.string(),
        fmt::format("split.tensors.count is {}, the parts hold {} tensors", *total, found));
  }
  return {};
}

}  // namespace sluice::checkpoint
