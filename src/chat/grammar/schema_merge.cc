#include "chat/grammar/schema_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sluice::chat::grammar {
namespace {

Json as_list(const Json& type) {
  if (type.is_array()) return type;
  Json list = Json::array();
  list.push_back(type);
  return list;
}

bool contains(const Json& list, const Json& value) {
  return std::find(list.items().begin(), list.items().end(), value) != list.items().end();
}

Json intersect(const Json& a, const Json& b) {
  Json both = Json::array();
  for (const Json& item : a.items()) {
    if (contains(b, item)) both.push_back(item);
  }
  return both;
}

// Types: "integer" is a part of "number".
Json intersect_types(const Json& a, const Json& b) {
  const Json first = as_list(a), second = as_list(b);
  Json both = intersect(first, second);
  const auto takes = [](const Json& list, const char* type) { return contains(list, Json(type)); };
  if (!takes(both, "integer") && ((takes(first, "integer") && takes(second, "number")) ||
                                  (takes(first, "number") && takes(second, "integer"))))
    both.push_back("integer");
  return both;
}

Json union_of(const Json& a, const Json& b) {
  Json all = a;
  for (const Json& item : b.items()) {
    if (!contains(all, item)) all.push_back(item);
  }
  return all;
}

Json both_of(const Json& a, const Json& b) {
  if (a == b) return a;
  Json list = Json::array(), both = Json::object();
  list.push_back(a);
  list.push_back(b);
  both.set("allOf", std::move(list));
  return both;
}

bool same_kind(const Json& a, const Json& b, bool (Json::*is)() const) {
  return (a.*is)() && (b.*is)();
}

// additionalProperties of one part speaks about the properties that this part names, so that the
// joined form would forbid or allow others.
bool closes(const Json& schema, const Json& other) {
  const Json* additional = schema.find("additionalProperties");
  if (!additional || *additional == Json(true)) return false;
  const Json* named = other.find("properties");
  if (!named || !named->is_object()) return false;
  const Json* own = schema.find("properties");
  return std::any_of(named->members().begin(), named->members().end(),
                     [&](const Json::Member& member) { return !own || !own->find(member.first); });
}

Result<Json> merge_keyword(const std::string& keyword, const Json& a, const Json& b) {
  if (a == b) return a;
  if (is_annotation(keyword)) return a;
  if (keyword == "type") return intersect_types(a, b);
  if (keyword == "enum" && same_kind(a, b, &Json::is_array)) return intersect(a, b);
  if (keyword == "required" && same_kind(a, b, &Json::is_array)) return union_of(a, b);
  if (keyword == "items" || keyword == "additionalProperties") return both_of(a, b);
  if (keyword == "properties" && same_kind(a, b, &Json::is_object)) {
    Json all = a;
    for (const auto& [name, schema] : b.members()) {
      const Json* present = all.find(name);
      all.set(name, present ? both_of(*present, schema) : schema);
    }
    return all;
  }
  const auto first = a.as_int64(), second = b.as_int64();
  if (first && second && keyword.rfind("min", 0) == 0) return *first > *second ? a : b;
  if (first && second && keyword.rfind("max", 0) == 0) return *first < *second ? a : b;
  return usage_error({}, fmt::format("two different '{}' cannot be joined", keyword));
}

}  // namespace

bool is_annotation(std::string_view keyword) {
  static constexpr std::array kAnnotations = {
      "title", "description", "default",  "examples",    "example",      "$schema",
      "$id",   "id",          "$comment", "readOnly",    "writeOnly",    "deprecated",
      "$defs", "definitions", "$anchor",  "$vocabulary", "discriminator"};
  if (keyword.rfind("x-", 0) == 0) return true;
  return std::find(kAnnotations.begin(), kAnnotations.end(), keyword) != kAnnotations.end();
}

Result<Json> merge_schemas(const Json& a, const Json& b) {
  if (closes(a, b) || closes(b, a))
    return usage_error({},
                       "'additionalProperties' beside properties of another part cannot be joined",
                       "name all properties in one place");
  Json merged = a;
  for (const auto& [keyword, value] : b.members()) {
    const Json* present = merged.find(keyword);
    if (!present) {
      merged.set(keyword, value);
      continue;
    }
    SLUICE_ASSIGN(Json joined, merge_keyword(keyword, *present, value));
    merged.set(keyword, std::move(joined));
  }
  return merged;
}

}  // namespace sluice::chat::grammar
