#include "tools/calibrate/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_writer.h"

namespace sluice::calibrate {
namespace {

constexpr std::string_view kIdentity = "calibration", kWindows = "windows";
constexpr size_t kHead = 2;                       // rows and largest magnitude, before the sums
constexpr double kMostRows = 9007199254740992.0;  // 2^53: every count up to it is exact
constexpr double kLargestFloat = std::numeric_limits<float>::max();

std::vector<double> packed(const InputStatistics& input) {
  std::vector<double> values = {static_cast<double>(input.rows), static_cast<double>(input.amax)};
  values.insert(values.end(), input.squares.begin(), input.squares.end());
  return values;
}

std::optional<InputStatistics> unpacked(const checkpoint::StoredTensor& stored, size_t columns) {
  std::vector<double> values(kHead + columns);
  if (stored.dtype != DType::kF64 || stored.bytes.size() != values.size() * sizeof(double))
    return std::nullopt;
  std::memcpy(values.data(), stored.bytes.data(), stored.bytes.size());
  const bool sane = std::all_of(values.begin(), values.end(),
                                [](double value) { return std::isfinite(value) && value >= 0; });
  if (!sane || values[0] > kMostRows || values[1] > kLargestFloat) return std::nullopt;
  InputStatistics input;
  const auto amax = static_cast<float>(values[1]);
  input.rows = static_cast<uint64_t>(values[0]);
  input.amax = amax;
  input.squares.assign(values.begin() + kHead, values.end());
  return input;
}

Error damaged(std::string_view file, std::string why) {
  return bad_input(std::string(file), std::move(why),
                   "Remove it; the calibration then starts over");
}

}  // namespace

uint64_t text_identity(std::span<const std::span<const int32_t>> windows) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](uint32_t word) {
    for (int shift = 0; shift < 32; shift += 8)
      hash = (hash ^ ((word >> shift) & 0xff)) * 0x100000001b3;
  };
  for (const auto window : windows) {
    add(static_cast<uint32_t>(window.size()));
    for (const int32_t token : window) add(static_cast<uint32_t>(token));
  }
  return hash;
}

Status save_progress(const std::filesystem::path& file, const std::string& identity,
                     const Progress& progress) {
  std::vector<checkpoint::TensorSpec> specs;
  for (const auto& [name, input] : progress.statistics)
    specs.push_back({name, DType::kF64, {static_cast<int64_t>(kHead + input.squares.size())}});
  checkpoint::SafetensorsOptions options;
  options.metadata = {{std::string(kIdentity), identity},
                      {std::string(kWindows), fmt::format("{}", progress.windows)}};
  options.overwrite = true;
  SLUICE_ASSIGN(auto writer,
                checkpoint::SafetensorsWriter::create_file(file, std::move(specs), options));
  for (const checkpoint::TensorSpec& spec : writer.plan()) {
    const std::vector<double> values = packed(progress.statistics.at(spec.name));
    SLUICE_TRY(writer.append(spec.name, std::as_bytes(std::span(values))));
  }
  return writer.finish();
}

Result<std::optional<Progress>> load_progress(const std::filesystem::path& file,
                                              const std::string& identity,
                                              const Statistics& empty) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::optional<Progress>();
  SLUICE_ASSIGN(const MappedFile mapping, MappedFile::open(file));
  SLUICE_ASSIGN(auto progress, parse_progress(mapping.bytes(), file.string(), identity, empty));
  return std::optional(std::move(progress));
}

Result<Progress> parse_progress(std::span<const std::byte> bytes, std::string_view file,
                                const std::string& identity, const Statistics& empty) {
  const auto parsed = checkpoint::parse_safetensors(bytes, file);
  if (!parsed.ok()) return damaged(file, parsed.error().why);
  const auto metadata = [&](std::string_view key) -> const std::string* {
    const auto& all = parsed->metadata;
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& entry) { return entry.first == key; });
    return found == all.end() ? nullptr : &found->second;
  };
  const std::string *owner = metadata(kIdentity), *windows = metadata(kWindows);
  if (owner == nullptr || windows == nullptr)
    return damaged(file, "is not the progress of a calibration");
  if (*owner != identity) {
    return usage_error(std::string(file),
                       "holds the progress of a calibration with another model, text or flags",
                       "Finish that one, or add --overwrite to start over");
  }
  Progress progress;
  const char* end = windows->data() + windows->size();
  const auto [stop, error] = std::from_chars(windows->data(), end, progress.windows);
  if (error != std::errc() || stop != end)
    return damaged(file, fmt::format("{} windows", *windows));
  if (parsed->tensors.size() != empty.size())
    return damaged(
        file, fmt::format("{} inputs, this model has {}", parsed->tensors.size(), empty.size()));
  for (const checkpoint::StoredTensor& stored : parsed->tensors) {
    const auto expected = empty.find(stored.name);
    if (expected == empty.end())
      return damaged(file, fmt::format("{} is no input of this model", stored.name));
    auto input = unpacked(stored, expected->second.squares.size());
    if (!input) return damaged(file, fmt::format("the sums of {} are damaged", stored.name));
    progress.statistics.emplace(stored.name, std::move(*input));
  }
  return progress;
}

}  // namespace sluice::calibrate
