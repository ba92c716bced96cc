#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "base/check.h"
#include "checkpoint/gguf.h"
#include "checkpoint/rules.h"

namespace sluice::checkpoint {
namespace {

GgufType usual_type(const GgufValue& value);

GgufType usual_unsigned(uint64_t largest) {
  return largest <= UINT32_MAX ? GgufType::kU32 : GgufType::kU64;
}
GgufType usual_signed(int64_t smallest, int64_t largest) {
  return smallest >= INT32_MIN && largest <= INT32_MAX ? GgufType::kI32 : GgufType::kI64;
}

GgufType usual_type(const GgufArray& array) {
  if (const auto* values = std::get_if<std::vector<uint64_t>>(&array)) {
    return usual_unsigned(values->empty() ? 0 : std::ranges::max(*values));
  }
  if (const auto* values = std::get_if<std::vector<int64_t>>(&array)) {
    if (values->empty()) return GgufType::kI32;
    return usual_signed(std::ranges::min(*values), std::ranges::max(*values));
  }
  if (std::holds_alternative<std::vector<double>>(array)) return GgufType::kF32;
  if (std::holds_alternative<std::vector<bool>>(array)) return GgufType::kBool;
  return GgufType::kString;
}

GgufType usual_type(const GgufValue& value) {
  if (const auto* v = std::get_if<uint64_t>(&value)) return usual_unsigned(*v);
  if (const auto* v = std::get_if<int64_t>(&value)) return usual_signed(*v, *v);
  if (std::holds_alternative<double>(value)) return GgufType::kF32;
  if (std::holds_alternative<bool>(value)) return GgufType::kBool;
  if (std::holds_alternative<std::string>(value)) return GgufType::kString;
  return usual_type(std::get<GgufArray>(value));
}

}  // namespace

void GgufMetadata::add(std::string key, GgufValue value) {
  const GgufType type = usual_type(value);
  add(std::move(key), std::move(value), type);
}

void GgufMetadata::add(std::string key, GgufValue value, GgufType type) {
  SLUICE_CHECK(type != GgufType::kArray, "key {}: give the type of the elements", key);
  const bool is_new = index_.emplace(key, entries_.size()).second;
  SLUICE_CHECK(is_new, "metadata key {} is there already", key);
  entries_.emplace_back(std::move(key), std::move(value));
  types_.push_back(type);
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = index_.find(std::string(key));
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

Error GgufMetadata::wrong_type(std::string_view key, std::string_view expected) const {
  return file_violation("GG-15", source_.empty() ? std::string_view("GGUF metadata") : source_,
                        fmt::format("key {} is not {}", quote(key), expected), kWriteAgain);
}

Result<std::optional<uint64_t>> GgufMetadata::unsigned_integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<uint64_t>();
  if (const auto* v = std::get_if<uint64_t>(value)) return std::optional(*v);
  if (const auto* v = std::get_if<int64_t>(value); v != nullptr && *v >= 0) {
    return std::optional(static_cast<uint64_t>(*v));
  }
  return wrong_type(key, "a non-negative integer");
}

Result<std::optional<double>> GgufMetadata::real(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<double>();
  if (const auto* v = std::get_if<double>(value)) return std::optional(*v);
  return wrong_type(key, "a real number");
}

Result<std::optional<bool>> GgufMetadata::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  if (const auto* v = std::get_if<bool>(value)) return std::optional(*v);
  return wrong_type(key, "a boolean");
}

Result<std::optional<std::string>> GgufMetadata::string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (const auto* v = std::get_if<std::string>(value)) return std::optional(*v);
  return wrong_type(key, "a string");
}

Result<std::optional<std::vector<std::string>>> GgufMetadata::strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::vector<std::string>>();
  if (const auto* array = std::get_if<GgufArray>(value)) {
    if (const auto* v = std::get_if<std::vector<std::string>>(array)) return std::optional(*v);
    if (std::visit([](const auto& list) { return list.empty(); }, *array)) {
      return std::optional(std::vector<std::string>());
    }
  }
  return wrong_type(key, "a list of strings");
}

Result<std::optional<std::vector<int64_t>>> GgufMetadata::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::optional<std::vector<int64_t>>();
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr) return wrong_type(key, "a list of integers");
  return std::visit(
      [&](const auto& list) -> Result<std::optional<std::vector<int64_t>>> {
        using Element = typename std::decay_t<decltype(list)>::value_type;
        std::vector<int64_t> out;
        if constexpr (std::is_integral_v<Element>) {
          out.reserve(list.size());
          for (const auto element : list) {
            if constexpr (std::is_same_v<Element, uint64_t>) {
              if (element > INT64_MAX) return wrong_type(key, "a list of integers below 2^63");
            }
            out.push_back(static_cast<int64_t>(element));
          }
        } else if (!list.empty()) {
          return wrong_type(key, "a list of integers");
        }
        return std::optional(std::move(out));
      },
      *array);
}

}  // namespace sluice::checkpoint
