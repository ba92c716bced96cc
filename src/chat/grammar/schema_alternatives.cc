#include "chat/grammar/schema_alternatives.h"

#include <fmt/format.h>

#include <utility>

#include "chat/grammar/schema_merge.h"
#include "chat/json_pointer.h"

namespace sluice::chat::grammar {
namespace {

constexpr int kMaxDepth = 32;         // of references and combinations within each other
constexpr int64_t kMaxWork = 20'000;  // schemas looked at, copies included

bool is_combination(std::string_view keyword) {
  return keyword == "allOf" || keyword == "anyOf" || keyword == "oneOf" || keyword == "$ref";
}

}  // namespace

Error schema_error(const std::string& path, std::string why, std::string remedy) {
  return usage_error("schema " + (path.empty() ? std::string("/") : path), std::move(why),
                     std::move(remedy));
}

Error dangling_reference(const std::string& reference, const std::string& path) {
  return schema_error(path, fmt::format("the reference '{}' leads nowhere", reference),
                      "only references within the schema (#/...) are followed");
}

const std::string* pure_reference(const Json& schema) {
  const std::string* reference = nullptr;
  if (!schema.is_object()) return nullptr;
  for (const auto& [keyword, value] : schema.members()) {
    if (keyword == "$ref" && value.is_string()) {
      reference = &value.string();
    } else if (!is_annotation(keyword)) {
      return nullptr;
    }
  }
  return reference;
}

Status SchemaAlternatives::spend(const std::string& path) {
  if (++work_ > kMaxWork)
    return schema_error(path, "the schema is too large", "use fewer combinations of alternatives");
  return {};
}

// The target of a reference, expanded; anything else as it is.
Result<std::vector<Json>> SchemaAlternatives::whole(const Json& way, const std::string& path,
                                                    int depth) {
  const std::string* reference = pure_reference(way);
  if (!reference) return std::vector<Json>{way};
  const Json* target = resolve_reference(root_, *reference);
  if (!target) return dangling_reference(*reference, path);
  return expand(*target, path, depth + 1);
}

// Each of `a` joined with each of `b`. A reference stays one as long as nothing is joined to it.
Result<std::vector<Json>> SchemaAlternatives::join(const std::vector<Json>& a,
                                                   const std::vector<Json>& b,
                                                   const std::string& path, int depth) {
  std::vector<Json> joined;
  for (const Json& left : a) {
    for (const Json& right : b) {
      SLUICE_TRY(spend(path));
      if (left == Json(false) || right == Json(false)) continue;
      if (left.is_boolean() || right.is_boolean()) {
        joined.push_back(left.is_boolean() ? right : left);
        continue;
      }
      if (pure_reference(left) || pure_reference(right)) {
        SLUICE_ASSIGN(const std::vector<Json> lefts, whole(left, path, depth));
        SLUICE_ASSIGN(const std::vector<Json> rights, whole(right, path, depth));
        SLUICE_ASSIGN(const std::vector<Json> both, join(lefts, rights, path, depth + 1));
        joined.insert(joined.end(), both.begin(), both.end());
        continue;
      }
      auto merged = merge_schemas(left, right);
      if (!merged.ok()) return schema_error(path, merged.error().why, merged.error().remedy);
      joined.push_back(std::move(merged).value());
    }
  }
  return joined;
}

Result<std::vector<Json>> SchemaAlternatives::expand(const Json& schema, const std::string& path,
                                                     int depth) {
  SLUICE_TRY(spend(path));
  if (depth > kMaxDepth)
    return schema_error(path, "references and combinations are nested too deeply, or without end");
  if (schema.is_boolean()) return std::vector<Json>{schema};
  if (!schema.is_object())
    return schema_error(
        path, fmt::format("a schema is an object or a boolean, not {}", schema.kind_name()));
  Json own = Json::object();
  bool restricts = false;
  for (const auto& [keyword, value] : schema.members()) {
    if (is_combination(keyword)) continue;
    own.set(keyword, value);
    restricts = restricts || !is_annotation(keyword);
  }
  std::vector<Json> ways = {restricts ? own : Json(true)};
  for (const auto& [keyword, value] : schema.members()) {
    if (!is_combination(keyword)) continue;
    std::vector<std::vector<Json>> parts;
    if (keyword == "$ref") {
      if (!value.is_string()) return schema_error(path, "'$ref' is not a string");
      Json reference = Json::object();
      reference.set("$ref", value);
      parts.push_back({std::move(reference)});
    } else if (!value.is_array() || value.items().empty()) {
      return schema_error(path, fmt::format("'{}' is not a list of schemas", keyword));
    } else {
      for (const Json& part : value.items()) {
        std::vector<Json> of_part = {part};
        if (!pure_reference(part)) {
          SLUICE_ASSIGN(of_part, expand(part, path + "/" + keyword, depth + 1));
        }
        if (keyword == "allOf" || parts.empty()) {
          parts.push_back(std::move(of_part));
        } else {
          parts[0].insert(parts[0].end(), of_part.begin(), of_part.end());
        }
      }
    }
    for (const std::vector<Json>& part : parts) {
      SLUICE_ASSIGN(ways, join(ways, part, path, depth));
    }
  }
  return ways;
}

}  // namespace sluice::chat::grammar
