#include "chat/tool_declaration.h"

namespace sluice::chat {

std::vector<ToolDeclaration> tool_declarations(const Json& tools) {
  std::vector<ToolDeclaration> declarations;
  if (!tools.is_array()) return declarations;
  for (const Json& tool : tools.items()) {
    const Json* function = tool.find("function");
    if (!function) function = &tool;
    const Json* name = function->find("name");
    if (!name || !name->is_string()) continue;
    ToolDeclaration& declaration = declarations.emplace_back();
    declaration.name = name->string();
    if (const Json* parameters = function->find("parameters")) declaration.parameters = *parameters;
    const Json* strict = function->find("strict");
    declaration.strict = strict && *strict == Json(true);
  }
  return declarations;
}

}  // namespace sluice::chat
