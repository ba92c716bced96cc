#include "tools/quantize/activation_ranges.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/file.h"
#include "base/json.h"

namespace sluice::quantize {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{16} << 20;

}  // namespace

Result<ActivationRanges> ActivationRanges::open(const std::filesystem::path& file) {
  SLUICE_ASSIGN(const std::string text, read_file(file, kMaxBytes));
  Result<Json> json = parse_json(text);
  if (!json.ok()) return bad_input(file.string(), json.error().message());
  const Json* ranges = json->find("ranges");
  if (ranges == nullptr || !ranges->is_object())
    return bad_input(file.string(), "has no object \"ranges\"", "docs/quantization.md shows its form");
  ActivationRanges out;
  for (const auto& [module, value] : ranges->members()) {
    const double amax = value.as_double().value_or(-1);
    if (!(amax > 0) || amax > static_cast<double>(std::numeric_limits<float>::max())) {
      return bad_input(
          file.string(),
          fmt::format("{} has the range {}, not a positive number", module, value.dump()),
          "docs/quantization.md shows its form");
    }
    out.set(module, static_cast<float>(amax));
  }
  return out;
}

std::optional<float> ActivationRanges::find(const std::string& canonical_module) const {
  const auto it = by_module_.find(canonical_module);
  return it == by_module_.end() ? std::nullopt : std::optional(it->second);
}

Status ActivationRanges::write(const std::filesystem::path& file, bool overwrite) const {
  Json ranges = Json::object();
  for (const auto& [module, amax] : by_module_) ranges.set(module, static_cast<double>(amax));
  Json out = Json::object();
  out.set("ranges", std::move(ranges));
  const std::string text = out.dump(1) + "\n";
  return write_file(file, std::as_bytes(std::span(text)), overwrite);
}

}  // namespace sluice::quantize
