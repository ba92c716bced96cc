// Tool calls in the form that the model was trained on, as a grammar (serving-tools.md 3.5).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "chat/grammar/expression.h"
#include "chat/grammar/json_grammar.h"
#include "chat/grammar/schema_compiler.h"
#include "chat/tool_declaration.h"

namespace sluice::chat::grammar {

class ToolGrammar {
 public:
  ToolGrammar(Expressions& grammar, JsonGrammar& json) : g_(grammar), json_(json) {}

  // One call of one of `tools`, from kCallOpen to kCallClose. A strict tool's parameters follow its
  // schema: in its order, the required ones always, no others. With `typed`, those of the others do
  // as well, as far as their schemas can be held to. Otherwise any declared names in any order,
  // with any text. Errors are kUsage and name the tool.
  Result<Expr> call_of_one(const std::vector<ToolDeclaration>& tools, bool typed);

  const std::vector<std::string>& ignored() const { return ignored_; }

 private:
  Result<Expr> call(const ToolDeclaration& tool, bool typed);
  Result<Expr> typed_parameters(const ToolDeclaration& tool);
  Expr free_parameters(const ToolDeclaration& tool);
  Result<Expr> value(SchemaCompiler& compiler, const ToolDeclaration& tool, const Json& schema,
                     const std::string& path);
  Expr parameter(const std::string& name, Expr value_and_closer);
  Expr any_text();

  Expressions& g_;
  JsonGrammar& json_;
  Expr any_text_ = -1;
  std::vector<std::string> ignored_;
};

}  // namespace sluice::chat::grammar
