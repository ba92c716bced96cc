#include "chat/grammar/tool_grammar.h"

#include <fmt/format.h>

#include <algorithm>

#include "chat/calls/argument_coercion.h"
#include "chat/calls/markup.h"
#include "chat/grammar/schema_compiler.h"

namespace sluice::chat::grammar {
namespace {

constexpr std::string_view kCloser = "\n</parameter>\n";

// A name that can stand in a tag as it is.
bool is_tag_name(std::string_view name) {
  return !name.empty() && name.find_first_of("<>=\n\"'") == std::string_view::npos &&
         !is_gap(name.front()) && !is_gap(name.back());
}

}  // namespace

Result<Expr> ToolGrammar::call_of_one(const std::vector<ToolDeclaration>& tools, bool typed) {
  std::vector<Expr> ways;
  for (const ToolDeclaration& tool : tools) {
    SLUICE_ASSIGN(const Expr way, call(tool, typed || tool.strict));
    ways.push_back(way);
  }
  return g_.choice(std::move(ways));
}

Result<Expr> ToolGrammar::call(const ToolDeclaration& tool, bool typed) {
  if (!is_tag_name(tool.name))
    return usage_error("tool " + tool.name, "the name cannot be written in a call");
  Expr parameters = free_parameters(tool);
  if (typed) {
    auto compiled = typed_parameters(tool);
    if (!compiled.ok()) {
      Error error = std::move(compiled).error();
      error.what = "tool " + tool.name + ", " + error.what;
      return error;
    }
    parameters = *compiled;
  }
  return g_.sequence({g_.literal(std::string(1, kCallOpen) + "\n<function=" + tool.name + ">\n"),
                      parameters, g_.literal("</function>\n" + std::string(1, kCallClose))});
}

Expr ToolGrammar::any_text() {
  // The closer's first byte must occur in it once: the line break after it stands apart.
  if (any_text_ < 0)
    any_text_ = json_.shared(
        g_.sequence({g_.text_until(kCloser.substr(0, kCloser.size() - 1)), g_.literal("\n")}));
  return any_text_;
}

Expr ToolGrammar::parameter(const std::string& name, Expr value_and_closer) {
  return g_.sequence({g_.literal("<parameter=" + name + ">\n"), value_and_closer});
}

Expr ToolGrammar::free_parameters(const ToolDeclaration& tool) {
  std::vector<Expr> ways;
  for (const std::string& name : parameter_names(tool.parameters)) {
    if (is_tag_name(name)) ways.push_back(parameter(name, any_text()));
  }
  if (ways.empty()) {
    // Nothing is known of the parameters: any name.
    ByteSet letters;
    for (int byte = 0x21; byte < 0x7F; ++byte) {
      if (std::string_view("<>=\"'").find(static_cast<char>(byte)) == std::string_view::npos)
        letters.set(static_cast<size_t>(byte));
    }
    ways.push_back(g_.sequence({g_.literal("<parameter="), g_.repeat(g_.bytes(letters), 1, 64),
                                g_.literal(">\n"), any_text()}));
  }
  return g_.repeat(g_.choice(std::move(ways)), 0, std::nullopt);
}

// A string is any text; members of an enum stand as they are; everything else is JSON.
Result<Expr> ToolGrammar::value(SchemaCompiler& compiler, const ToolDeclaration& tool,
                                const Json& schema, const std::string& path) {
  SLUICE_ASSIGN(const std::vector<Json> ways, compiler.alternatives().of(schema, path));
  std::vector<Expr> compiled;
  for (const Json& way : ways) {
    const ParameterType type = schema_type(tool.parameters, way);
    if (way == Json(false)) continue;
    if (!type.members.empty()) {
      for (const Json& member : type.members) {
        const Expr text = member.is_string() ? g_.literal(member.string()) : json_.constant(member);
        compiled.push_back(g_.sequence({text, g_.literal(kCloser)}));
      }
    } else if (type.types & kTypeString) {
      for (const char* keyword : {"pattern", "minLength", "maxLength", "format"}) {
        if (tool.strict && way.find(keyword))
          return usage_error(
              "schema " + path,
              fmt::format("'{}' is not supported in a parameter that is text", keyword),
              "leave it out, or set \"strict\": false to have it ignored");
      }
      compiled.push_back(any_text());
    } else {
      SLUICE_ASSIGN(const Expr json, compiler.compile(way, path));
      compiled.push_back(g_.sequence({json, g_.literal(kCloser)}));
    }
  }
  return g_.choice(std::move(compiled));
}

Result<Expr> ToolGrammar::typed_parameters(const ToolDeclaration& tool) {
  const Json* properties = tool.parameters.find("properties");
  const Json* required = tool.parameters.find("required");
  if (!properties || !properties->is_object())
    return tool.strict ? g_.empty() : free_parameters(tool);
  std::vector<Expr> all;
  SchemaCompiler compiler(g_, json_, tool.parameters, {.strict = tool.strict});
  for (const auto& [name, schema] : properties->members()) {
    const std::string path = "/properties/" + name;
    if (!is_tag_name(name))
      return usage_error("schema " + path, "the name cannot be written in a call");
    SLUICE_ASSIGN(const Expr text, value(compiler, tool, schema, path));
    const bool must = required && required->is_array() &&
                      std::find(required->items().begin(), required->items().end(), Json(name)) !=
                          required->items().end();
    const Expr one = parameter(name, text);
    all.push_back(must ? one : g_.optional(one));
  }
  ignored_.insert(ignored_.end(), compiler.ignored().begin(), compiler.ignored().end());
  return g_.sequence(std::move(all));
}

}  // namespace sluice::chat::grammar
