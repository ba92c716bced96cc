#include <fmt/format.h>

#include <unordered_set>

#include "base/utf8.h"
#include "checkpoint/json_events.h"
#include "checkpoint/rules.h"
#include "checkpoint/safetensors.h"

namespace sluice::checkpoint {
namespace {

// Keeps weight_map and passes over everything else ("metadata" with total_size is informational).
class IndexEvents : public JsonEvents {
 public:
  explicit IndexEvents(std::string_view file) : file_(file) {}

  WeightMap weight_map;
  bool saw_weight_map = false;

  Status begin_object() override {
    if (in_map_value()) return not_a_string();
    if (depth_ == 1 && at_weight_map_) in_map_ = true;
    ++depth_;
    return {};
  }
  Status end_object() override {
    --depth_;
    if (depth_ == 1) in_map_ = false;
    return {};
  }
  Status begin_array() override {
    SLUICE_TRY(scalar());
    ++depth_;
    return {};
  }
  Status end_array() override {
    --depth_;
    return {};
  }
  Status number(std::string_view) override { return scalar(); }
  Status literal(std::string_view) override { return scalar(); }

  Status key(std::string text) override {
    if (in_map_) return tensor_key(std::move(text));
    if (depth_ != 1) return {};
    at_weight_map_ = text == "weight_map";
    if (at_weight_map_ && std::exchange(saw_weight_map, true)) {
      return file_violation("ST-14", file_, "weight_map occurs twice", kWriteAgain);
    }
    return {};
  }

  Status string(std::string text) override {
    if (!in_map_value()) return scalar();
    // A name, not a path: whatever could leave the index's own folder is refused.
    if (text.empty() || text == "." ||
        text.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos ||
        text.find("..") != std::string::npos) {
      return tensor_violation(
          "ST-14", file_, weight_map.back().first,
          fmt::format("{} is not the plain name of a file beside the index", quote(text)));
    }
    weight_map.back().second = std::move(text);
    return {};
  }

 private:
  bool in_map_value() const { return in_map_ && depth_ == 2; }

  Error not_a_string() {
    return tensor_violation("ST-14", file_, weight_map.back().first,
                            "its value in weight_map is not a string");
  }

  // Any value that is not a string or an object.
  Status scalar() {
    if (in_map_value()) return not_a_string();
    if (depth_ == 0 || (depth_ == 1 && at_weight_map_)) {
      return file_violation("ST-14", file_, "the index and its weight_map must be objects",
                            kWriteAgain);
    }
    return {};
  }

  Status tensor_key(std::string text) {
    if (const auto problem = safetensors_name_problem(text)) {
      return tensor_violation("ST-13", file_, text, *problem);
    }
    if (weight_map.size() == kMaxTensors) {
      return file_violation("ST-13", file_, fmt::format("more than {} tensors", kMaxTensors),
                            kWriteAgain);
    }
    if (!names_.insert(text).second) {
      return tensor_violation("ST-14", file_, text, "the name occurs twice in weight_map");
    }
    weight_map.emplace_back(std::move(text), std::string());
    return {};
  }

  const std::string_view file_;
  size_t depth_ = 0;  // open objects and arrays
  bool at_weight_map_ = false, in_map_ = false;
  std::unordered_set<std::string> names_;
};

}  // namespace

Result<WeightMap> parse_safetensors_index(std::string_view text, std::string_view file) {
  if (text.size() > kMaxIndexBytes) {
    return file_violation("ST-15", file,
                          fmt::format("{} bytes, the limit is {}", text.size(), kMaxIndexBytes),
                          kWriteAgain);
  }
  if (const auto bad = find_invalid_utf8(text)) {
    return file_violation("ST-14", file, fmt::format("byte {} is not valid UTF-8", *bad));
  }
  IndexEvents index(file);
  const JsonWalk walk = walk_json(text, kMaxJsonDepth, index);
  if (walk.stop) {
    if (walk.stop->kind == JsonStop::Kind::kEvents) return walk.stop->error;
    const bool deep = walk.stop->kind == JsonStop::Kind::kTooDeep;
    return file_violation(deep ? "ST-13" : "ST-14", file, "not JSON: " + walk.stop->error.why);
  }
  if (text.find_first_not_of(" \t\r\n", walk.used) != std::string_view::npos) {
    return file_violation("ST-14", file,
                          fmt::format("unexpected data after the object at byte {}", walk.used));
  }
  if (!index.saw_weight_map) {
    return file_violation("ST-14", file, "there is no weight_map", kWriteAgain);
  }
  return std::move(index.weight_map);
}

}  // namespace sluice::checkpoint
