// The grammar of expressions, with Jinja2's precedences. Private to the parser.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "chat/jinja/ast.h"
#include "chat/jinja/token_reader.h"

namespace sluice::chat::jinja {

class ExpressionParser : public TokenReader {
 protected:
  // Bound of the tree's depth, so that walking it cannot exhaust the stack. Templates in use stay
  // below 40.
  static constexpr int kMaxExpressionDepth = 200;

  using TokenReader::TokenReader;

  // Rules, from the weakest operator down.
  // An expression, or several with commas: a tuple. `end_name` is a keyword that ends it.
  ExprPtr tuple(bool with_conditional = true, std::string_view end_name = {},
                bool in_parentheses = false);
  ExprPtr expression();
  ExprPtr or_expression();
  // value | filter | filter ...; the value may be null (the text of a block).
  ExprPtr filter_chain(ExprPtr value);
  ExprPtr one_filter(ExprPtr value);

  bool at_tuple_end(std::string_view end_name) const;
  [[noreturn]] static void too_deep(const Token& token);

  int symbol(const std::string& name);  // the variable's number, a new one if need be
  std::vector<std::string> take_symbols() { return std::move(symbols_); }

  // Special names that a macro's body reads, which decides what a call may bring.
  struct NamesRead {
    bool caller = false, varargs = false, kwargs = false;
  };
  void note_read(std::string_view name);

  NamesRead names_read_;
  int nesting_ = 0;  // of the rules at work

 private:
  static ExprPtr node(ExprKind kind, const Token& token);
  static void add_depth(Expr& parent, const ExprPtr& child, const Token& token);
  template <typename... Children>
  static ExprPtr node(ExprKind kind, const Token& token, Children... children) {
    ExprPtr expr = node(kind, token);
    (expr->children.push_back(std::move(children)), ...);
    for (const ExprPtr& child : expr->children) add_depth(*expr, child, token);
    return expr;
  }
  static ExprPtr binary(const Token& token, Operator op, ExprPtr left, ExprPtr right);
  static ExprPtr constant(const Token& token, Value value);

  ExprPtr and_expression();
  ExprPtr not_expression();
  std::optional<Operator> comparison_operator();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  // Left-associative, and weaker than a sign: Jinja2's choice, not Python's.
  ExprPtr power();
  ExprPtr unary(bool with_filter);
  ExprPtr primary();
  ExprPtr name(const Token& token);
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr value);
  ExprPtr filters_and_tests(ExprPtr value);
  ExprPtr attribute(ExprPtr owner);
  ExprPtr subscript(ExprPtr owner);
  // An expression, or a slice whose owner is still missing (children[0] null).
  ExprPtr subscript_argument();
  CallArguments call_arguments(Expr& caller);
  ExprPtr call(ExprPtr callee);
  std::string dotted_name();
  bool at_test_argument() const;
  ExprPtr test(ExprPtr value);

  std::vector<std::string> symbols_;
  std::unordered_map<std::string, size_t> symbol_numbers_;
};

// A text constant of the template: many threads will read it.
Value frozen_text(std::string_view text);

}  // namespace sluice::chat::jinja
