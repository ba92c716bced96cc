#include "chat/calls/argument_coercion.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "chat/calls/loose_json.h"
#include "chat/calls/markup.h"

namespace sluice::chat {
namespace {

constexpr int kMaxDepth = 32;  // of $ref and of nested combinations

std::string lower(std::string_view text) {
  std::string small(text);
  for (char& c : small) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return small;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_gap(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_gap(text.back())) text.remove_suffix(1);
  return text;
}

// Names of types, those of other languages included (vLLM and SGLang accept the same).
uint8_t named_type(std::string_view written) {
  const std::string name = lower(written);
  const auto starts = [&](std::string_view prefix) { return name.rfind(prefix, 0) == 0; };
  if (name == "null") return kTypeNull;
  if (name == "bool" || name == "boolean" || name == "binary") return kTypeBoolean;
  if (name == "object" || starts("dict")) return kTypeObject;
  if (starts("list") || starts("arr") || starts("sequence")) return kTypeArray;
  for (const char* integer : {"int", "uint", "long", "short", "unsigned"}) {
    if (starts(integer)) return kTypeInteger;
  }
  if (starts("num") || starts("float") || name == "double") return kTypeNumber;
  for (const char* text : {"string", "str", "text", "varchar", "char", "enum"}) {
    if (name == text) return kTypeString;
  }
  return 0;
}

uint8_t type_of_value(const Json& value) {
  switch (value.kind()) {
    case Json::Kind::kNull:
      return kTypeNull;
    case Json::Kind::kBoolean:
      return kTypeBoolean;
    case Json::Kind::kNumber:
      return value.is_integer() ? kTypeInteger : kTypeNumber;
    case Json::Kind::kString:
      return kTypeString;
    case Json::Kind::kArray:
      return kTypeArray;
    case Json::Kind::kObject:
      return kTypeObject;
  }
  return 0;
}

// "#/$defs/a~1b" within `root`, or nullptr.
const Json* resolve(const Json& root, std::string_view reference) {
  if (reference.empty() || reference.front() != '#') return nullptr;
  reference.remove_prefix(1);
  const Json* place = &root;
  while (place && !reference.empty()) {
    if (reference.front() != '/') return nullptr;
    reference.remove_prefix(1);
    std::string key(reference.substr(0, reference.find('/')));
    reference.remove_prefix(key.size());
    for (const auto& [escape, character] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}}) {
      for (size_t at = 0; (at = key.find(escape, at)) != std::string::npos; ++at)
        key.replace(at, 2, character);
    }
    place = place->find(key);
  }
  return place;
}

// Gathers types and members of a schema with all its alternatives.
void collect_types(const Json& root, const Json& schema, int depth, ParameterType& found) {
  if (depth > kMaxDepth || !schema.is_object()) return;
  const auto add_type = [&](const Json& type) {
    if (type.is_string()) found.types |= named_type(type.string());
  };
  const auto add_member = [&](const Json& member) {
    found.types |= type_of_value(member);
    found.members.push_back(member);
  };
  for (const auto& [key, value] : schema.members()) {
    if (key == "type" && value.is_array()) {
      for (const Json& type : value.items()) add_type(type);
    } else if (key == "type") {
      add_type(value);
    } else if (key == "nullable" && value == Json(true)) {
      found.types |= kTypeNull;
    } else if (key == "const") {
      add_member(value);
    } else if (key == "enum" && value.is_array()) {
      for (const Json& member : value.items()) add_member(member);
    } else if (key == "properties") {
      found.types |= kTypeObject;
    } else if (key == "items") {
      found.types |= kTypeArray;
    } else if ((key == "anyOf" || key == "oneOf" || key == "allOf") && value.is_array()) {
      for (const Json& part : value.items()) collect_types(root, part, depth + 1, found);
    } else if (key == "$ref" && value.is_string()) {
      if (const Json* target = resolve(root, value.string()))
        collect_types(root, *target, depth + 1, found);
    }
  }
}

// [sign] digits [. digits] [e digits], with the laxness of people: "+1", ".5", "5.", "007".
struct Decimal {
  bool negative = false;
  std::string_view whole, fraction, exponent;
};

std::optional<Decimal> read_decimal(std::string_view text) {
  Decimal number;
  const auto take_digits = [&] {
    const std::string_view taken = text.substr(0, text.find_first_not_of("0123456789"));
    text.remove_prefix(taken.size());
    return taken;
  };
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    number.negative = text.front() == '-';
    text.remove_prefix(1);
  }
  number.whole = take_digits();
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    number.fraction = take_digits();
  }
  if (number.whole.empty() && number.fraction.empty()) return std::nullopt;
  if (!text.empty() && (text.front() == 'e' || text.front() == 'E')) {
    number.exponent = text.substr(1);
    text.remove_prefix(1);
    if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
    if (take_digits().empty()) return std::nullopt;
  }
  if (!text.empty()) return std::nullopt;
  return number;
}

std::string signed_digits(bool negative, std::string digits) {
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  return (negative ? "-" : "") + digits;
}

// "12", "-7", "5.0" -> "5", "2e3" -> "2000"; digits are moved, never computed, so that no size is
// too large.
std::optional<std::string> as_integer(std::string_view text) {
  const std::optional<Decimal> number = read_decimal(text);
  if (!number) return std::nullopt;
  int shift = 0;
  if (!number->exponent.empty()) {
    const std::string_view written =
        number->exponent.substr(number->exponent.front() == '+' ? 1 : 0);
    const auto [end, error] =
        std::from_chars(written.data(), written.data() + written.size(), shift);
    if (error != std::errc{} || shift < -400 || shift > 400) return std::nullopt;
  }
  std::string digits(number->whole);
  digits += number->fraction;
  int64_t point = static_cast<int64_t>(number->whole.size()) + shift;
  if (point < 0) return std::nullopt;  // also 0e-9: nobody writes an integer so
  while (static_cast<int64_t>(digits.size()) < point) digits += '0';
  if (digits.find_first_not_of('0', static_cast<size_t>(point)) != std::string::npos)
    return std::nullopt;
  digits.resize(static_cast<size_t>(point));
  if (digits.empty()) digits = "0";
  return signed_digits(number->negative, std::move(digits));
}

std::optional<std::string> as_number(std::string_view text) {
  const std::optional<Decimal> number = read_decimal(text);
  if (!number) return std::nullopt;
  if (parse_json(text).ok()) return std::string(text);
  std::string json = signed_digits(number->negative, "0" + std::string(number->whole));
  if (!number->fraction.empty()) (json += '.') += number->fraction;
  if (!number->exponent.empty()) (json += 'e') += number->exponent;
  return json;
}

std::optional<std::string> as_container(std::string_view text, uint8_t type) {
  std::optional<Json> value = parse_loose_json(text);
  // A string with the value's JSON inside: encoded once too often.
  if (value && value->is_string()) value = parse_loose_json(value->string());
  if (!value || type_of_value(*value) != type) return std::nullopt;
  std::string json;
  append_spaced_json(*value, json);
  return json;
}

std::string quoted(std::string_view text) {
  std::string json;
  append_json_string(text, json);
  return json;
}

std::optional<std::string> coerce_to(uint8_t type, std::string_view raw, std::string_view trimmed) {
  const std::string small = lower(trimmed);
  switch (type) {
    case kTypeNull:
      if (small == "null" || small == "none") return "null";
      return std::nullopt;
    case kTypeInteger:
      return as_integer(trimmed);
    case kTypeNumber:
      return as_number(trimmed);
    case kTypeBoolean:
      if (small == "true" || small == "false") return small;
      return std::nullopt;
    case kTypeString:
      return quoted(raw);
    default:
      return as_container(trimmed, type);
  }
}

}  // namespace

ParameterType parameter_type(const Json& parameters, std::string_view key) {
  const Json* properties = parameters.find("properties");
  const Json* schema = (properties ? *properties : parameters).find(key);
  // Without "properties" the object is the map of properties itself, and its other members
  // ("type": "object") are no schemas.
  if (!properties && schema && !schema->is_object()) schema = nullptr;
  if (!schema) schema = parameters.find("additionalProperties");
  ParameterType type;
  type.types = 0;
  if (schema) collect_types(parameters, *schema, 0, type);
  if (type.types == 0) type.types = kTypeString;
  return type;
}

std::vector<std::string> parameter_names(const Json& parameters) {
  std::vector<std::string> names;
  const Json* properties = parameters.find("properties");
  const Json& map = properties ? *properties : parameters;
  if (!map.is_object()) return names;
  for (const auto& [name, schema] : map.members()) {
    if (properties || schema.is_object()) names.push_back(name);
  }
  return names;
}

std::string coerce_argument(std::string_view raw, const ParameterType& type) {
  const std::string_view trimmed = trim(raw);
  for (const Json& member : type.members) {
    if (member.is_string() ? member.string() == raw || member.string() == trimmed
                           : member.dump() == trimmed) {
      std::string json;
      append_spaced_json(member, json);
      return json;
    }
  }
  // From the narrowest: "5" is an integer before it is a string, and null before all.
  for (const uint8_t wanted :
       {kTypeNull, kTypeInteger, kTypeNumber, kTypeBoolean, kTypeObject, kTypeArray, kTypeString}) {
    if (!(type.types & wanted)) continue;
    if (auto json = coerce_to(wanted, raw, trimmed)) return *std::move(json);
  }
  return quoted(raw);
}

}  // namespace sluice::chat
