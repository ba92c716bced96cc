#include "tools/quantize/activation_ranges.h"

#include <fmt/format.h>

#include <span>

#include "base/file.h"
#include "base/json.h"

namespace sluice::quantize {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{16} << 20;
constexpr const char* kRemedy = "docs/quantization.md shows its form";

Result<float> range_of(const Json* value, const std::string& name, std::string_view file) {
  const double number = value == nullptr ? 0 : value->as_double().value_or(0);
  const float amax = number < 1e35 ? static_cast<float>(number) : 0;
  if (ActivationRanges::valid(amax)) return amax;
  return bad_input(std::string(file),
                   fmt::format("{} has the range {}, not a number from 1e-30 to 1e30", name,
                               value == nullptr ? "(none)" : value->dump()),
                   kRemedy);
}

template <typename Map>
auto lookup(const Map& map, const std::string& key) {
  const auto it = map.find(key);
  return it == map.end() ? std::nullopt : std::optional(it->second);
}

}  // namespace

Result<ActivationRanges> ActivationRanges::open(const std::filesystem::path& file) {
  SLUICE_ASSIGN(const std::string text, read_file(file, kMaxBytes));
  return parse(text, file.string());
}

Result<ActivationRanges> ActivationRanges::parse(std::string_view text, std::string_view file) {
  Result<Json> json = parse_json(text, {.depth = 8, .duplicates = DuplicateKeys::kReject});
  if (!json.ok()) return bad_input(std::string(file), json.error().message(), kRemedy);
  const Json* ranges = json->find("ranges");
  if (ranges == nullptr || !ranges->is_object())
    return bad_input(std::string(file), "has no object \"ranges\"", kRemedy);
  ActivationRanges out;
  for (const auto& [module, value] : ranges->members()) {
    SLUICE_ASSIGN(const float amax, range_of(&value, module, file));
    out.set(module, amax);
  }
  const Json* cached = json->find("keys_values");
  if (cached == nullptr) return out;
  if (!cached->is_object())
    return bad_input(std::string(file), "\"keys_values\" is no object", kRemedy);
  for (const auto& [attention, both] : cached->members()) {
    KeyValue amax;
    SLUICE_ASSIGN(amax.key, range_of(both.find("key"), attention + " key", file));
    SLUICE_ASSIGN(amax.value, range_of(both.find("value"), attention + " value", file));
    out.set_key_value(attention, amax);
  }
  return out;
}

std::optional<float> ActivationRanges::find(const std::string& canonical_module) const {
  return lookup(by_module_, canonical_module);
}

std::optional<ActivationRanges::KeyValue> ActivationRanges::find_key_value(
    const std::string& attention) const {
  return lookup(cached_, attention);
}

std::string ActivationRanges::text() const {
  Json ranges = Json::object();
  for (const auto& [module, amax] : by_module_) ranges.set(module, static_cast<double>(amax));
  Json out = Json::object();
  out.set("ranges", std::move(ranges));
  if (!cached_.empty()) {
    Json cached = Json::object();
    for (const auto& [attention, amax] : cached_) {
      Json both = Json::object();
      both.set("key", static_cast<double>(amax.key));
      both.set("value", static_cast<double>(amax.value));
      cached.set(attention, std::move(both));
    }
    out.set("keys_values", std::move(cached));
  }
  return out.dump(1) + "\n";
}

Status ActivationRanges::write(const std::filesystem::path& file, bool overwrite) const {
  const std::string bytes = text();
  return write_file(file, std::as_bytes(std::span(bytes)), overwrite);
}

}  // namespace sluice::quantize
