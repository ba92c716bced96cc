// From what the user named to the files to open: directory lookup, splits, neighbours. Opens no
// weights.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::checkpoint {

enum class Container { kSafetensors, kGguf };

struct Location {
  Container container = Container::kSafetensors;
  std::filesystem::path folder;                // where config.json and the tokenizer lie
  std::optional<std::filesystem::path> index;  // names the shards; `files` is then empty
  std::vector<std::filesystem::path> files;    // in the order to open; for GGUF the first part only
  std::vector<std::filesystem::path> vision_beside, draft_beside;  // mmproj*.gguf, mtp-*.gguf
  std::vector<std::string> notes;
};

// The lookup order of Checkpoint::open.
Result<Location> locate(const std::filesystem::path& path);

// A name of the form PREFIX-00002-of-00005.gguf.
struct SplitName {
  std::string prefix;
  int number = 0, count = 0;  // one-based
};
std::optional<SplitName> parse_split_name(std::string_view file_name);
std::string split_name(std::string_view prefix, int number, int count);

}  // namespace sluice::checkpoint
