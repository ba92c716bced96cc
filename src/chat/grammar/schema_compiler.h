// JSON Schema to grammar (docs/structured-output.md says what is covered and how).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "chat/grammar/expression.h"
#include "chat/grammar/json_grammar.h"
#include "chat/grammar/schema_alternatives.h"

namespace sluice::chat::grammar {

struct SchemaOptions {
  // On: a keyword that cannot be enforced is an error, and objects have no other properties than
  // those named unless additionalProperties says so. Off: such keywords are ignored and reported.
  bool strict = false;
};

class SchemaCompiler {
 public:
  // Borrows all; `root` is the document in which references are looked up.
  SchemaCompiler(Expressions& grammar, JsonGrammar& json, const Json& root, SchemaOptions options);

  // The JSON texts that `schema`, at the JSON pointer `path` for messages, allows. Errors are
  // kUsage and name path and keyword.
  Result<Expr> compile(const Json& schema, const std::string& path);

  // Takes schemas apart, for callers that look at the alternatives themselves.
  SchemaAlternatives& alternatives() { return alternatives_; }

  // Keywords that were ignored, with their places, in order of appearance.
  const std::vector<std::string>& ignored() const { return ignored_; }

 private:
  Result<Expr> compile_alternatives(const Json& schema, const std::string& path);
  Result<Expr> compile_plain(const Json& schema, const std::string& path);
  Result<Expr> compile_members(const Json& schema, const Json& members, const std::string& path);
  Result<Expr> compile_type(const std::string& type, const Json& schema, const std::string& path);
  Result<Expr> compile_object(const Json& schema, const std::string& path);
  Result<Expr> compile_array(const Json& schema, const std::string& path);
  Result<Expr> compile_string(const Json& schema, const std::string& path);
  Result<Expr> compile_reference(const std::string& reference, const std::string& path);
  Status check_keywords(const Json& schema, const std::string& path);
  Status unsupported(const std::string& what, const std::string& path);

  Expressions& g_;
  JsonGrammar& json_;
  const Json& root_;
  const SchemaOptions options_;
  SchemaAlternatives alternatives_;
  std::map<std::string, Rule> references_;
  std::vector<std::string> ignored_;
  int depth_ = 0;
};

}  // namespace sluice::chat::grammar
