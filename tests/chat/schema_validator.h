// A plain validator of JSON Schema, for the keywords that grammars enforce.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "base/json.h"
#include "chat/json_pointer.h"

namespace sluice::chat::grammar {

// JSON Schema as its text says, for the keywords that the grammar enforces; nothing shared with it
// but the lookup of references.
inline bool valid(const Json& root, const Json& schema, const Json& value, int depth = 0);

inline bool type_fits(const std::string& type, const Json& value) {
  if (type == "integer") return value.is_integer();
  return type == value.kind_name();
}

inline size_t characters(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

inline bool valid_object(const Json& root, const Json& schema, const Json& value, int depth) {
  const Json* properties = schema.find("properties");
  const Json* additional = schema.find("additionalProperties");
  if (const Json* required = schema.find("required")) {
    for (const Json& name : required->items()) {
      if (!value.find(name.string())) return false;
    }
  }
  for (const auto& [key, member] : value.members()) {
    const Json* own = properties ? properties->find(key) : nullptr;
    if (!own) own = additional;
    if (own && !valid(root, *own, member, depth + 1)) return false;
  }
  return true;
}

inline bool valid_array(const Json& root, const Json& schema, const Json& value, int depth) {
  const auto& items = value.items();
  const Json* prefix = schema.find("prefixItems");
  const Json* rest = schema.find("items");
  if (const Json* least = schema.find("minItems"); least && items.size() < *least->as_uint64())
    return false;
  if (const Json* most = schema.find("maxItems"); most && items.size() > *most->as_uint64())
    return false;
  for (size_t i = 0; i < items.size(); ++i) {
    const Json* own = prefix && i < prefix->items().size() ? &prefix->items()[i] : rest;
    if (own && !valid(root, *own, items[i], depth + 1)) return false;
  }
  return true;
}

inline bool valid(const Json& root, const Json& schema, const Json& value, int depth) {
  if (schema.is_boolean()) return schema.boolean();
  if (depth > 200) return false;
  if (const Json* reference = schema.find("$ref")) {
    if (!valid(root, *resolve_reference(root, reference->string()), value, depth + 1)) return false;
  }
  if (const Json* type = schema.find("type")) {
    const Json::Array types = type->is_array() ? type->items() : Json::Array{*type};
    if (std::none_of(types.begin(), types.end(),
                     [&](const Json& t) { return type_fits(t.string(), value); }))
      return false;
  }
  if (const Json* one = schema.find("const"); one && !(*one == value)) return false;
  if (const Json* members = schema.find("enum")) {
    if (std::find(members->items().begin(), members->items().end(), value) ==
        members->items().end())
      return false;
  }
  if (const Json* all = schema.find("allOf")) {
    for (const Json& part : all->items()) {
      if (!valid(root, part, value, depth + 1)) return false;
    }
  }
  if (const Json* any = schema.find("anyOf")) {
    if (std::none_of(any->items().begin(), any->items().end(),
                     [&](const Json& part) { return valid(root, part, value, depth + 1); }))
      return false;
  }
  if (value.is_string()) {
    const size_t size = characters(value.string());
    if (const Json* least = schema.find("minLength"); least && size < *least->as_uint64())
      return false;
    if (const Json* most = schema.find("maxLength"); most && size > *most->as_uint64())
      return false;
  }
  if (value.is_object()) return valid_object(root, schema, value, depth);
  if (value.is_array()) return valid_array(root, schema, value, depth);
  return true;
}

}  // namespace sluice::chat::grammar
