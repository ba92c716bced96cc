#include "server/core/fields.h"

#include <fmt/format.h>

#include <cmath>

#include "base/utf8.h"

namespace sluice::server {
namespace {

std::string shown(const Json& value) {
  constexpr size_t kMost = 60;
  std::string text = value.dump();
  if (text.size() <= kMost) return text;
  text.resize(kMost);
  text.resize(text.size() - incomplete_utf8_suffix(text));
  return text + "...";
}

}  // namespace

Result<Json> parse_body(std::string_view body) {
  Result<Json> json = parse_json(body, {.depth = 64});
  if (!json.ok()) return usage_error("", "the body is not JSON: " + json.error().why);
  if (!json->is_object())
    return usage_error(
        "", fmt::format("the body is a JSON {}, an object was expected", json->kind_name()));
  return json;
}

std::optional<int64_t> integral(const Json& value) {
  if (!value.is_number()) return std::nullopt;
  if (const auto whole = value.as_int64()) return whole;
  if (value.is_integer()) return std::nullopt;  // out of range
  const double real = value.as_double().value_or(0.5);
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (real != std::floor(real) || std::fabs(real) > kExact) return std::nullopt;
  return static_cast<int64_t>(real);
}

Fields::Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

std::string Fields::path(std::string_view name) const {
  return where_.empty() ? std::string(name) : fmt::format("{}.{}", where_, name);
}

void Fields::complain(std::string_view name, std::string why, std::string remedy) {
  complain(usage_error(path(name), std::move(why), std::move(remedy)));
}

void Fields::complain(Error error) {
  if (!error_) error_ = std::move(error);
}

Status Fields::status() const { return error_ ? Status(*error_) : Status(); }

const Json* Fields::any(std::string_view name) {
  known_.emplace(name);
  const Json* value = object_.find(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<double> Fields::real(std::string_view name, RealRange range) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    complain(name, fmt::format("is {}, a number was expected", shown(*value)));
    return std::nullopt;
  }
  const double real = value->as_double().value_or(0);
  const bool below = range.low_open ? real <= range.low : real < range.low;
  if (!std::isfinite(real) || below || real > range.high) {
    complain(name, fmt::format("{} is not within {}{}, {}]", value->spelling(),
                               range.low_open ? "(" : "[", range.low, range.high));
    return std::nullopt;
  }
  return real;
}

std::optional<int64_t> Fields::integer(std::string_view name, IntegerRange range) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  const auto whole = integral(*value);
  if (!whole) {
    complain(name, fmt::format("is {}, an integer was expected", shown(*value)));
    return std::nullopt;
  }
  if (*whole < range.low || *whole > range.high) {
    const std::string bounds = range.high == std::numeric_limits<int64_t>::max()
                                   ? fmt::format("at least {}", range.low)
                                   : fmt::format("within {} to {}", range.low, range.high);
    complain(name, fmt::format("{} is not {}", *whole, bounds));
    return std::nullopt;
  }
  return whole;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    complain(name, fmt::format("is {}, true or false was expected", shown(*value)));
    return std::nullopt;
  }
  return value->boolean();
}

std::optional<std::string> Fields::string(std::string_view name) {
  const Json* value = any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    complain(name, fmt::format("is {}, a string was expected", shown(*value)));
    return std::nullopt;
  }
  return value->string();
}

const Json* Fields::object(std::string_view name) {
  const Json* value = any(name);
  if (value != nullptr && !value->is_object()) {
    complain(name, fmt::format("is {}, an object was expected", shown(*value)));
    return nullptr;
  }
  return value;
}

const Json* Fields::array(std::string_view name) {
  const Json* value = any(name);
  if (value != nullptr && !value->is_array()) {
    complain(name, fmt::format("is {}, an array was expected", shown(*value)));
    return nullptr;
  }
  return value;
}

std::vector<std::string> Fields::strings(std::string_view name, size_t most) {
  const Json* value = any(name);
  std::vector<std::string> found;
  if (value == nullptr) return found;
  const Json alone = Json(Json::Array{*value});
  const Json& list = value->is_array() ? *value : alone;
  if (list.items().size() > most) {
    complain(name, fmt::format("has {} entries, at most {} are taken", list.items().size(), most));
    return found;
  }
  for (const Json& item : list.items()) {
    if (!item.is_string() || item.string().empty()) {
      complain(name, fmt::format("{} is not a string with text", shown(item)));
      return {};
    }
    found.push_back(item.string());
  }
  return found;
}

std::vector<int32_t> Fields::ids(std::string_view name, int64_t vocabulary) {
  const Json* list = array(name);
  std::vector<int32_t> found;
  if (list == nullptr) return found;
  for (const Json& item : list->items()) {
    const auto id = integral(item);
    if (!id || *id < 0 || *id >= vocabulary) {
      complain(name, fmt::format("{} is not a token of this model (0 to {})", shown(item),
                                 vocabulary - 1));
      return {};
    }
    found.push_back(static_cast<int32_t>(*id));
  }
  return found;
}

void Fields::ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) known_.emplace(name);
}

void Fields::refuse(std::string_view name, std::string_view why) {
  const Json* value = any(name);
  if (value == nullptr || (value->is_boolean() && !value->boolean()) ||
      (value->is_number() && value->as_double() == 0.0))
    return;
  complain(name, std::string(why), "Leave it out");
}

std::vector<std::string> Fields::unknown() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.members()) {
    if (!known_.contains(name)) names.push_back(path(name));
  }
  return names;
}

}  // namespace sluice::server
