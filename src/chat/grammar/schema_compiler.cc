#include "chat/grammar/schema_compiler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "chat/grammar/object_grammar.h"
#include "chat/grammar/schema_merge.h"
#include "chat/grammar/string_formats.h"
#include "chat/json_pointer.h"

namespace sluice::chat::grammar {
namespace {

constexpr int kMaxNesting = 200;     // of schemas, references followed
constexpr int64_t kMaxLength = 256;  // of a string: each length is a state
constexpr int64_t kMaxItems = 1024;

bool is_one_of(std::string_view word, std::initializer_list<const char*> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool fits_type(const Json& value, std::string_view type) {
  switch (value.kind()) {
    case Json::Kind::kNull:
      return type == "null";
    case Json::Kind::kBoolean:
      return type == "boolean";
    case Json::Kind::kNumber:
      return type == "number" || (type == "integer" && value.is_integer());
    case Json::Kind::kString:
      return type == "string";
    case Json::Kind::kArray:
      return type == "array";
    case Json::Kind::kObject:
      return type == "object";
  }
  return false;
}

// The types that a schema without "type" means by its other keywords; empty: all.
std::vector<std::string> implied_types(const Json& schema) {
  std::vector<std::string> types;
  const auto has = [&](std::initializer_list<const char*> keywords) {
    return std::any_of(keywords.begin(), keywords.end(),
                       [&](const char* k) { return schema.find(k); });
  };
  if (has({"properties", "required", "additionalProperties"})) types.push_back("object");
  if (has({"items", "prefixItems", "minItems", "maxItems"})) types.push_back("array");
  if (has({"minLength", "maxLength"})) types.push_back("string");
  return types;
}

Result<std::optional<int64_t>> count(const Json& schema, const char* keyword,
                                     const std::string& path) {
  const Json* value = schema.find(keyword);
  if (!value) return std::optional<int64_t>();
  std::optional<int64_t> number = value->as_int64();
  if (!number) {
    // 2.0 is an integer as well.
    const auto real = value->as_double();
    if (real && *real >= 0 && *real < 1e15 &&
        *real == static_cast<double>(static_cast<int64_t>(*real)))
      number = static_cast<int64_t>(*real);
  }
  if (!number || *number < 0)
    return schema_error(path, fmt::format("'{}' is {}, not a count", keyword, value->dump()));
  return number;
}

}  // namespace

SchemaCompiler::SchemaCompiler(Expressions& grammar, JsonGrammar& json, const Json& root,
                               SchemaOptions options)
    : g_(grammar), json_(json), root_(root), options_(options), alternatives_(root) {}

Status SchemaCompiler::unsupported(const std::string& what, const std::string& path) {
  if (options_.strict)
    return schema_error(path, what + " is not supported",
                        "leave it out, or set \"strict\": false to have it ignored");
  ignored_.push_back((path.empty() ? "/" : path) + ": " + what);
  return {};
}

Result<Expr> SchemaCompiler::compile(const Json& schema, const std::string& path) {
  SLUICE_TRY(alternatives_.spend(path));
  if (depth_ > kMaxNesting) return schema_error(path, "the schema is nested too deeply");
  ++depth_;
  Result<Expr> compiled = compile_alternatives(schema, path);
  --depth_;
  return compiled;
}

Result<Expr> SchemaCompiler::compile_alternatives(const Json& schema, const std::string& path) {
  if (const std::string* reference = pure_reference(schema))
    return compile_reference(*reference, path);
  SLUICE_ASSIGN(const std::vector<Json> ways, alternatives_.of(schema, path));
  std::vector<Expr> compiled;
  for (const Json& way : ways) {
    // An alternative that is a reference and nothing more stays one: recursion goes through here.
    const std::string* reference = pure_reference(way);
    SLUICE_ASSIGN(const Expr expr,
                  reference ? compile_reference(*reference, path) : compile_plain(way, path));
    compiled.push_back(expr);
  }
  return g_.choice(std::move(compiled));
}

Result<Expr> SchemaCompiler::compile_reference(const std::string& reference,
                                               const std::string& path) {
  const auto known = references_.find(reference);
  if (known != references_.end()) return g_.call(known->second);
  const Json* target = resolve_reference(root_, reference);
  if (!target) return dangling_reference(reference, path);
  const Rule rule = g_.declare();
  references_.emplace(reference, rule);
  SLUICE_ASSIGN(const Expr body, compile(*target, reference.substr(1)));
  g_.define(rule, body);
  return g_.call(rule);
}

Status SchemaCompiler::check_keywords(const Json& schema, const std::string& path) {
  for (const auto& [keyword, value] : schema.members()) {
    if (is_annotation(keyword) ||
        is_one_of(keyword,
                  {"type", "enum", "const", "properties", "required", "additionalProperties",
                   "additionalItems", "items", "prefixItems", "minItems", "maxItems", "minLength",
                   "maxLength", "format", "nullable"}))
      continue;
    if (keyword == "uniqueItems") {
      // Commonly written by generators; a grammar cannot know it, and no server refuses it.
      if (value != Json(false)) ignored_.push_back((path.empty() ? "/" : path) + ": 'uniqueItems'");
      continue;
    }
    // Also a word that no version of JSON Schema knows: it may be a misspelling.
    SLUICE_TRY(unsupported(fmt::format("'{}'", keyword), path));
  }
  return {};
}

// A schema without combinations.
Result<Expr> SchemaCompiler::compile_plain(const Json& schema, const std::string& path) {
  if (schema.is_boolean()) return schema.boolean() ? json_.value() : g_.never();
  SLUICE_TRY(check_keywords(schema, path));
  if (const Json* value = schema.find("const")) {
    Json one = Json::array();
    one.push_back(*value);
    return compile_members(schema, one, path);
  }
  if (const Json* members = schema.find("enum")) {
    if (!members->is_array()) return schema_error(path, "'enum' is not a list");
    return compile_members(schema, *members, path);
  }
  std::vector<std::string> types = implied_types(schema);
  if (const Json* type = schema.find("type")) {
    types.clear();
    for (const Json& name : type->is_array() ? type->items() : Json::Array{*type}) {
      if (!name.is_string())
        return schema_error(path, "'type' is neither a string nor a list of strings");
      types.push_back(name.string());
    }
  } else if (types.empty()) {
    return json_.value();
  }
  const Json* nullable = schema.find("nullable");
  if (nullable && *nullable == Json(true) &&
      std::find(types.begin(), types.end(), "null") == types.end())
    types.push_back("null");
  std::vector<Expr> ways;
  for (const std::string& type : types) {
    SLUICE_ASSIGN(const Expr way, compile_type(type, schema, path));
    ways.push_back(way);
  }
  return g_.choice(std::move(ways));
}

Result<Expr> SchemaCompiler::compile_members(const Json& schema, const Json& members,
                                             const std::string& path) {
  const Json* type = schema.find("type");
  const Json* choices = schema.find("const") ? schema.find("enum") : nullptr;
  for (const auto& [keyword, value] : schema.members()) {
    if (!is_annotation(keyword) && !is_one_of(keyword, {"type", "enum", "const", "nullable"}))
      SLUICE_TRY(unsupported(fmt::format("'{}' beside 'enum' or 'const'", keyword), path));
  }
  std::vector<Expr> ways;
  for (const Json& member : members.items()) {
    if (choices && choices->is_array() &&
        std::find(choices->items().begin(), choices->items().end(), member) ==
            choices->items().end())
      continue;
    bool fits = !type;
    if (type) {
      for (const Json& name : type->is_array() ? type->items() : Json::Array{*type})
        fits = fits || (name.is_string() && fits_type(member, name.string()));
    }
    if (fits) ways.push_back(json_.constant(member));
  }
  return g_.choice(std::move(ways));
}

Result<Expr> SchemaCompiler::compile_type(const std::string& type, const Json& schema,
                                          const std::string& path) {
  if (type == "object") return compile_object(schema, path);
  if (type == "array") return compile_array(schema, path);
  if (type == "string") return compile_string(schema, path);
  if (type == "integer") return json_.integer();
  if (type == "number") return json_.number();
  if (type == "boolean") return json_.boolean();
  if (type == "null") return json_.null();
  return schema_error(path, fmt::format("the type '{}' is unknown", type),
                      "types are null, boolean, integer, number, string, array and object");
}

Result<Expr> SchemaCompiler::compile_string(const Json& schema, const std::string& path) {
  SLUICE_ASSIGN(const std::optional<int64_t> minimum, count(schema, "minLength", path));
  SLUICE_ASSIGN(std::optional<int64_t> maximum, count(schema, "maxLength", path));
  if (const Json* format = schema.find("format")) {
    const std::optional<Expr> known =
        format->is_string() ? string_format(g_, format->string()) : std::nullopt;
    if (known && !minimum && !maximum) return *known;
    SLUICE_TRY(unsupported(
        known ? "'format' beside a length" : fmt::format("'format' {}", format->dump()), path));
  }
  if (minimum.value_or(0) > maximum.value_or(minimum.value_or(0))) return g_.never();
  if (minimum.value_or(0) > kMaxLength)
    return schema_error(path, fmt::format("'minLength' is {}, above {}", *minimum, kMaxLength));
  if (maximum && *maximum > kMaxLength) {
    SLUICE_TRY(unsupported(fmt::format("'maxLength' above {}", kMaxLength), path));
    maximum.reset();
  }
  if (minimum.value_or(0) == 0 && !maximum) return json_.string();
  return json_.string(minimum.value_or(0), maximum);
}

Result<Expr> SchemaCompiler::compile_array(const Json& schema, const std::string& path) {
  SLUICE_ASSIGN(const std::optional<int64_t> minimum, count(schema, "minItems", path));
  SLUICE_ASSIGN(const std::optional<int64_t> maximum, count(schema, "maxItems", path));
  if (minimum.value_or(0) > kMaxItems || maximum.value_or(0) > kMaxItems)
    return schema_error(path,
                        fmt::format("an array of more than {} items is asked for", kMaxItems));
  const Json kAny = true, kNoItems = Json::array();
  const Json* prefix = schema.find("prefixItems");
  const Json* items = schema.find("items");
  // Before draft 2020 a list of items meant what prefixItems means now.
  if (items && items->is_array() && !prefix) {
    prefix = items;
    items = schema.find("additionalItems");
  }
  if (!prefix) prefix = &kNoItems;
  if (!prefix->is_array()) return schema_error(path, "'prefixItems' is not a list");
  ArrayParts parts;
  for (const Json& item : prefix->items()) {
    SLUICE_ASSIGN(const Expr expr, compile(item, path + "/prefixItems"));
    parts.first.push_back(expr);
  }
  SLUICE_ASSIGN(const Expr others, compile(items ? *items : kAny, path + "/items"));
  parts.others = json_.shared(others);
  parts.minimum = minimum.value_or(0);
  parts.maximum = maximum;
  return array_of(g_, json_, parts);
}

Result<Expr> SchemaCompiler::compile_object(const Json& schema, const std::string& path) {
  ObjectParts parts;
  std::vector<std::string> names;
  const Json kNone = Json::object(), kNoNames = Json::array();
  const Json* properties = schema.find("properties");
  const Json* required = schema.find("required");
  if (!properties) properties = &kNone;
  if (!required) required = &kNoNames;
  if (!properties->is_object()) return schema_error(path, "'properties' is not an object");
  if (!required->is_array()) return schema_error(path, "'required' is not a list");
  const auto is_required = [&](const std::string& name) {
    return std::find(required->items().begin(), required->items().end(), Json(name)) !=
           required->items().end();
  };
  for (const auto& [name, value] : properties->members()) {
    SLUICE_ASSIGN(const Expr expr, compile(value, path + "/properties/" + name));
    names.push_back(name);
    parts.members.push_back(
        {json_.shared(json_.member(json_.constant(Json(name)), expr)), is_required(name)});
  }
  // Required and not described: any value that additionalProperties allows, after the others.
  const Json* additional = schema.find("additionalProperties");
  const Json kOthers = !options_.strict;
  if (!additional) additional = &kOthers;
  SLUICE_ASSIGN(const Expr other, compile(*additional, path + "/additionalProperties"));
  for (const Json& name : required->items()) {
    if (!name.is_string()) return schema_error(path, "'required' holds something that is no name");
    if (std::find(names.begin(), names.end(), name.string()) != names.end()) continue;
    names.push_back(name.string());
    parts.members.push_back({json_.shared(json_.member(json_.constant(name), other)), true});
  }
  if (*additional != Json(false))
    parts.others =
        json_.shared(json_.member(names.empty() ? json_.string() : json_.other_key(names), other));
  return object_of(g_, json_, parts);
}

}  // namespace sluice::chat::grammar
