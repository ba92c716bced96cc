#include "server/core/constraint_fields.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice::server {
namespace {

using Choice = ToolPolicy::Choice;
using Kind = OutputConstraint::Kind;

constexpr std::string_view kNoSuchGrammar = "is not supported: only JSON and lists of texts are";
constexpr size_t kMostTexts = 4096;

bool declared(const ToolPolicy& policy, std::string_view name) {
  return std::any_of(policy.declarations.begin(), policy.declarations.end(),
                     [&](const auto& tool) { return tool.name == name; });
}

// The name of a tool in a choice: {"function":{"name":...}} on the chat route, {"name":...} in
// responses.
std::optional<std::string> name_in(const Json& choice) {
  const Json* function = choice.find("function");
  const Json* name = function != nullptr ? function->find("name") : choice.find("name");
  if (name == nullptr || !name->is_string()) return std::nullopt;
  return name->string();
}

// {"type":"allowed_tools","mode":...,"tools":[...]}; the chat route has an object around the two.
void read_allowed_tools(Fields& fields, const Json& choice, ToolPolicy& policy) {
  const Json* inner = choice.find("allowed_tools");
  const Json& given = inner != nullptr ? *inner : choice;
  const Json* mode = given.find("mode");
  const Json* tools = given.find("tools");
  const bool required = mode != nullptr && *mode == Json("required");
  if (mode == nullptr || (!required && *mode != Json("auto")))
    return fields.complain("tool_choice", "the mode of allowed_tools is none of auto, required");
  if (tools == nullptr || !tools->is_array() || tools->items().empty())
    return fields.complain("tool_choice", "allowed_tools has no array of tools");
  for (const Json& tool : tools->items()) {
    const auto name = name_in(tool);
    if (!name || !declared(policy, *name)) {
      return fields.complain("tool_choice", fmt::format("allowed_tools: \"{}\" is not among the "
                                                        "tools",
                                                        name.value_or("")));
    }
    policy.allowed.push_back(*name);
  }
  if (required) policy.choice = Choice::kRequired;
}

// A schema as an object, a boolean, or JSON in a string.
std::optional<Json> schema_of(const Json& given) {
  if (given.is_object() || given.is_boolean()) return given;
  if (!given.is_string()) return std::nullopt;
  Result<Json> parsed = parse_json(given.string());
  if (!parsed.ok() || (!parsed->is_object() && !parsed->is_boolean())) return std::nullopt;
  return std::move(*parsed);
}

// Servers that have these fields enforce all of the schema or refuse it: strict.
void set_schema(Fields& fields, const std::string& field, const Json& given, bool white_space,
                GenerationRequest& request) {
  auto schema = schema_of(given);
  if (!schema) return fields.complain(field, "is no JSON Schema");
  set_constraint(fields, request,
                 {Kind::kJsonSchema, std::move(*schema), true, white_space, field});
}

void set_texts(Fields& fields, const std::string& field, const Json& given,
               GenerationRequest& request) {
  const auto good = [](const Json& text) { return text.is_string() && !text.string().empty(); };
  if (!given.is_array() || given.items().empty() || given.items().size() > kMostTexts ||
      !std::all_of(given.items().begin(), given.items().end(), good)) {
    return fields.complain(field, fmt::format("an array of 1 to {} texts was expected, none of "
                                              "them empty",
                                              kMostTexts));
  }
  set_constraint(fields, request, {Kind::kChoice, given, true, true, field});
}

// vLLM's object with exactly one constraint in it.
void read_structured_outputs(Fields& fields, const Json& given, GenerationRequest& request) {
  const std::string field = "structured_outputs";
  Fields nested(given, field);
  const bool white_space = !nested.boolean("disable_any_whitespace").value_or(false);
  const Json* json = nested.any("json");
  const Json* choice = nested.any("choice");
  const bool object = nested.boolean("json_object").value_or(false);
  int count = (json != nullptr) + (choice != nullptr) + object;
  for (const char* name : {"regex", "grammar", "structural_tag"}) {
    count += nested.any(name) != nullptr;
    nested.refuse(name, kNoSuchGrammar);
  }
  if (count != 1) return fields.complain(field, "exactly one constraint is expected in it");
  if (const Status status = nested.status(); !status.ok()) return fields.complain(status.error());
  if (json != nullptr) set_schema(fields, field, *json, white_space, request);
  if (choice != nullptr) set_texts(fields, field, *choice, request);
  if (object) set_constraint(fields, request, {Kind::kJsonObject, {}, true, white_space, field});
}

}  // namespace

void force_call(Fields& fields, std::string_view field, const std::optional<std::string>& name,
                ToolPolicy& policy) {
  if (policy.declarations.empty())
    return fields.complain(field, "forces a call, and the request declares no tools");
  if (name && !declared(policy, *name))
    return fields.complain(field, fmt::format("\"{}\" is not among the tools", *name));
  policy.choice = name ? Choice::kNamed : Choice::kRequired;
  policy.name = name.value_or("");
}

void read_tool_choice(Fields& fields, GenerationRequest& request) {
  ToolPolicy& policy = request.tools;
  policy.parallel = fields.boolean("parallel_tool_calls").value_or(true);
  const Json* choice = fields.any("tool_choice");
  if (choice == nullptr) return;
  const auto is = [&](const char* word) { return *choice == Json(word); };
  if (is("auto")) return;
  if (is("none")) {
    policy.choice = Choice::kNone;
    return;
  }
  const Json* type = choice->find("type");
  if (type != nullptr && *type == Json("allowed_tools"))
    return read_allowed_tools(fields, *choice, policy);
  const auto name = name_in(*choice);
  if (!is("required") && !name) {
    return fields.complain("tool_choice",
                           "is none of none, auto, required, a named function and allowed_tools");
  }
  force_call(fields, "tool_choice", name, policy);
}

void set_constraint(Fields& fields, GenerationRequest& request, OutputConstraint constraint) {
  if (request.constraint) {
    return fields.complain(constraint.field, fmt::format("binds the answer a second time, after {}",
                                                         request.constraint->field));
  }
  request.constraint = std::move(constraint);
}

void read_format(Fields& fields, const std::string& field, const Json& format,
                 GenerationRequest& request) {
  const Json* type = format.find("type");
  if (type != nullptr && *type == Json("text")) return;
  if (type != nullptr && *type == Json("structural_tag"))
    return fields.complain(field, "structural_tag " + std::string(kNoSuchGrammar));
  const bool object = type != nullptr && *type == Json("json_object");
  if (!object && (type == nullptr || *type != Json("json_schema")))
    return fields.complain(field, "type is none of text, json_object, json_schema");
  const Json* inner = format.find("json_schema");
  const Json& holder = inner != nullptr && inner->is_object() ? *inner : format;
  const Json* schema = holder.find("schema");
  if (schema == nullptr || schema->is_null()) {
    if (!object) return fields.complain(field, "json_schema has no schema");
    return set_constraint(fields, request, {Kind::kJsonObject, {}, false, true, field});
  }
  if (!schema->is_object() && !schema->is_boolean())
    return fields.complain(field, "the schema is neither an object nor a boolean");
  const Json* strict = holder.find("strict");
  if (strict != nullptr && !strict->is_null() && !strict->is_boolean())
    return fields.complain(field, "strict is no boolean");
  set_constraint(
      fields, request,
      {Kind::kJsonSchema, *schema, strict != nullptr && *strict == Json(true), true, field});
}

void read_constraint(Fields& fields, GenerationRequest& request) {
  if (const Json* format = fields.object("response_format"))
    read_format(fields, "response_format", *format, request);
  if (const Json* given = fields.object("structured_outputs"))
    read_structured_outputs(fields, *given, request);
  for (const char* name : {"guided_json", "json_schema"}) {
    if (const Json* schema = fields.any(name)) set_schema(fields, name, *schema, true, request);
  }
  if (const Json* texts = fields.any("guided_choice"))
    set_texts(fields, "guided_choice", *texts, request);
  for (const char* name : {"guided_regex", "guided_grammar", "grammar", "regex", "ebnf"})
    fields.refuse(name, kNoSuchGrammar);
}

}  // namespace sluice::server
