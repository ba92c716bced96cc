#include "chat/jinja/expression_parser.h"

#include <cstdlib>

#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/print.h"
#include "chat/jinja/tests.h"

namespace sluice::chat::jinja {

Value frozen_text(std::string_view text) {
  if (text.empty()) return Value::string(Text());
  auto buffer = std::make_shared<TextBuffer>();
  buffer->append(text, false);
  buffer->frozen = true;
  return Value::string(Text(std::move(buffer)));
}

int ExpressionParser::symbol(const std::string& name) {
  const auto [found, added] = symbol_numbers_.emplace(name, symbols_.size());
  if (added) symbols_.push_back(name);
  return static_cast<int>(found->second);
}

void ExpressionParser::too_deep(const Token& token) {
  fail(token, fmt::format("expressions are nested deeper than {}", kMaxExpressionDepth),
       "Unsupported");
}

ExprPtr ExpressionParser::node(ExprKind kind, const Token& token) {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = token.line;
  expr->column = token.column;
  return expr;
}

void ExpressionParser::add_depth(Expr& parent, const ExprPtr& child, const Token& token) {
  if (child) parent.depth = std::max(parent.depth, child->depth + 1);
  if (parent.depth > kMaxExpressionDepth) too_deep(token);
}

bool ExpressionParser::at_tuple_end(std::string_view end_name) const {
  return at_kind(TokenKind::kVariableEnd) || at_kind(TokenKind::kBlockEnd) || at_operator(")") ||
         (!end_name.empty() && at_name(end_name));
}

ExprPtr ExpressionParser::tuple(bool with_conditional, std::string_view end_name,
                                bool in_parentheses) {
  const Token start = current();
  ExprPtr result = node(ExprKind::kTuple, start);
  bool is_tuple = false;
  while (true) {
    if (!result->children.empty()) expect_operator(",");
    if (at_tuple_end(end_name)) break;
    result->children.push_back(with_conditional ? expression() : or_expression());
    add_depth(*result, result->children.back(), start);
    if (!at_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return result;
  if (!result->children.empty()) return std::move(result->children.front());
  if (!in_parentheses)
    fail(current(), "Expected an expression, got " + python_quoted(describe(current())));
  return result;
}

ExprPtr ExpressionParser::expression() {
  const Token start = current();
  if (++nesting_ > kMaxExpressionDepth) too_deep(start);
  ExprPtr value = or_expression();
  while (at_name("if")) {
    const Token token = take();
    ExprPtr condition = or_expression();
    ExprPtr otherwise = take_name("else") ? expression() : nullptr;
    value = node(ExprKind::kConditional, token, std::move(condition), std::move(value),
                 std::move(otherwise));
  }
  --nesting_;
  return value;
}

ExprPtr ExpressionParser::or_expression() {
  ExprPtr left = and_expression();
  while (at_name("or")) {
    const Token token = take();
    left = node(ExprKind::kOr, token, std::move(left), and_expression());
  }
  return left;
}

ExprPtr ExpressionParser::and_expression() {
  ExprPtr left = not_expression();
  while (at_name("and")) {
    const Token token = take();
    left = node(ExprKind::kAnd, token, std::move(left), not_expression());
  }
  return left;
}

ExprPtr ExpressionParser::not_expression() {
  if (!at_name("not")) return comparison();
  const Token token = take();
  if (++nesting_ > kMaxExpressionDepth) too_deep(token);
  ExprPtr inner = not_expression();
  --nesting_;
  return node(ExprKind::kNot, token, std::move(inner));
}

std::optional<Operator> ExpressionParser::comparison_operator() {
  static constexpr std::pair<std::string_view, Operator> kOperators[] = {
      {"==", Operator::kEqual},     {"!=", Operator::kNotEqual}, {"<", Operator::kLess},
      {"<=", Operator::kLessEqual}, {">", Operator::kGreater},   {">=", Operator::kGreaterEqual}};
  for (const auto& [text, op] : kOperators) {
    if (take_operator(text)) return op;
  }
  if (take_name("in")) return Operator::kIn;
  if (at_name("not") && next_token().kind == TokenKind::kName && next_token().text == "in") {
    take();
    take();
    return Operator::kNotIn;
  }
  return std::nullopt;
}

ExprPtr ExpressionParser::comparison() {
  ExprPtr first = sum();
  ExprPtr result;
  while (true) {
    const Token token = current();
    const auto op = comparison_operator();
    if (!op) return result ? std::move(result) : std::move(first);
    if (!result) result = node(ExprKind::kCompare, token, std::move(first));
    result->ops.push_back(*op);
    result->children.push_back(sum());
    add_depth(*result, result->children.back(), token);
  }
}

ExprPtr ExpressionParser::binary(const Token& token, Operator op, ExprPtr left, ExprPtr right) {
  ExprPtr result = node(ExprKind::kBinary, token, std::move(left), std::move(right));
  result->op = op;
  return result;
}

ExprPtr ExpressionParser::sum() {
  ExprPtr left = concatenation();
  while (at_operator("+") || at_operator("-")) {
    const Token token = take();
    left = binary(token, token.text == "+" ? Operator::kAdd : Operator::kSubtract, std::move(left),
                  concatenation());
  }
  return left;
}

ExprPtr ExpressionParser::concatenation() {
  ExprPtr first = product();
  if (!at_operator("~")) return first;
  const Token token = current();
  ExprPtr result = node(ExprKind::kConcat, token, std::move(first));
  while (take_operator("~")) {
    result->children.push_back(product());
    add_depth(*result, result->children.back(), token);
  }
  return result;
}

ExprPtr ExpressionParser::product() {
  ExprPtr left = power();
  while (true) {
    const Token token = current();
    Operator op;
    if (take_operator("*")) {
      op = Operator::kMultiply;
    } else if (take_operator("/")) {
      op = Operator::kDivide;
    } else if (take_operator("//")) {
      op = Operator::kFloorDivide;
    } else if (take_operator("%")) {
      op = Operator::kModulo;
    } else {
      return left;
    }
    left = binary(token, op, std::move(left), power());
  }
}

ExprPtr ExpressionParser::power() {
  ExprPtr left = unary(true);
  while (at_operator("**")) {
    const Token token = take();
    left = binary(token, Operator::kPower, std::move(left), unary(true));
  }
  return left;
}

ExprPtr ExpressionParser::unary(bool with_filter) {
  const Token token = current();
  if (++nesting_ > kMaxExpressionDepth) too_deep(token);
  ExprPtr result;
  if (take_operator("-")) {
    result = node(ExprKind::kNegative, token, unary(false));
  } else if (take_operator("+")) {
    result = node(ExprKind::kPositive, token, unary(false));
  } else {
    result = primary();
  }
  result = postfix(std::move(result));
  if (with_filter) result = filters_and_tests(std::move(result));
  --nesting_;
  return result;
}

void ExpressionParser::note_read(std::string_view name) {
  names_read_.caller = names_read_.caller || name == "caller";
  names_read_.varargs = names_read_.varargs || name == "varargs";
  names_read_.kwargs = names_read_.kwargs || name == "kwargs";
}

ExprPtr ExpressionParser::constant(const Token& token, Value value) {
  ExprPtr result = node(ExprKind::kConstant, token);
  result->constant = std::move(value);
  return result;
}

ExprPtr ExpressionParser::primary() {
  const Token token = current();
  switch (token.kind) {
    case TokenKind::kName:
      take();
      return name(token);
    case TokenKind::kString: {
      std::string text;
      while (at_kind(TokenKind::kString)) text += take().text;
      return constant(token, frozen_text(text));
    }
    case TokenKind::kInteger: {
      take();
      ExprPtr result = constant(token, Value::integer_from_digits(token.text, false));
      if (result->constant.is(Kind::kBigInteger)) {
        // Its digits live in a buffer that threads share.
        fail(token, "an integer literal beyond 64 bits is not supported", "Unsupported");
      }
      return result;
    }
    case TokenKind::kFloat: {
      take();
      // strtod, unlike from_chars, gives infinity for 1e400, as Python does.
      const double number = std::strtod(token.text.c_str(), nullptr);
      return constant(token, Value::real(number));
    }
    default:
      break;
  }
  if (take_operator("(")) {
    ExprPtr result = tuple(true, {}, true);
    expect_operator(")");
    return result;
  }
  if (at_operator("[")) return list();
  if (at_operator("{")) return dict();
  fail(token, "unexpected " + python_quoted(describe(token)));
}

ExprPtr ExpressionParser::name(const Token& token) {
  if (token.text == "true" || token.text == "True") return constant(token, Value::boolean(true));
  if (token.text == "false" || token.text == "False") return constant(token, Value::boolean(false));
  if (token.text == "none" || token.text == "None") return constant(token, Value::none());
  note_read(token.text);
  ExprPtr result = node(ExprKind::kName, token);
  result->symbol = symbol(token.text);
  return result;
}

ExprPtr ExpressionParser::list() {
  const Token token = take();
  ExprPtr result = node(ExprKind::kList, token);
  while (!at_operator("]")) {
    if (!result->children.empty()) expect_operator(",");
    if (at_operator("]")) break;
    result->children.push_back(expression());
    add_depth(*result, result->children.back(), token);
  }
  take();
  return result;
}

ExprPtr ExpressionParser::dict() {
  const Token token = take();
  ExprPtr result = node(ExprKind::kDict, token);
  while (!at_operator("}")) {
    if (!result->children.empty()) expect_operator(",");
    if (at_operator("}")) break;
    result->children.push_back(expression());
    add_depth(*result, result->children.back(), token);
    expect_operator(":");
    result->children.push_back(expression());
    add_depth(*result, result->children.back(), token);
  }
  take();
  return result;
}

ExprPtr ExpressionParser::postfix(ExprPtr value) {
  while (true) {
    if (at_operator(".")) {
      value = attribute(std::move(value));
    } else if (at_operator("[")) {
      value = subscript(std::move(value));
    } else if (at_operator("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr value) {
  while (true) {
    if (at_operator("|")) {
      value = filter_chain(std::move(value));
    } else if (at_name("is")) {
      value = test(std::move(value));
    } else if (at_operator("(")) {
      value = call(std::move(value));
    } else {
      return value;
    }
  }
}

ExprPtr ExpressionParser::attribute(ExprPtr owner) {
  const Token dot = take();
  const Token name = take();
  if (name.kind == TokenKind::kName) {
    ExprPtr result = node(ExprKind::kAttribute, name, std::move(owner));
    result->constant = frozen_text(name.text);
    result->text = name.text;
    return result;
  }
  if (name.kind != TokenKind::kInteger) fail(name, "expected name or number");
  return node(ExprKind::kSubscript, dot, std::move(owner),
              constant(name, Value::integer_from_digits(name.text, false)));
}

ExprPtr ExpressionParser::subscript(ExprPtr owner) {
  const Token token = take();
  std::vector<ExprPtr> arguments;
  while (!at_operator("]")) {
    if (!arguments.empty()) expect_operator(",");
    arguments.push_back(subscript_argument());
  }
  expect_operator("]");
  if (arguments.size() != 1) {
    ExprPtr parts = node(ExprKind::kTuple, token);
    for (ExprPtr& argument : arguments) {
      if (argument->kind == ExprKind::kSlice && argument->children[0] == nullptr) {
        fail(token, "a subscript of several slices is not supported", "Unsupported");
      }
      parts->children.push_back(std::move(argument));
      add_depth(*parts, parts->children.back(), token);
    }
    return node(ExprKind::kSubscript, token, std::move(owner), std::move(parts));
  }
  if (arguments[0]->kind == ExprKind::kSlice && arguments[0]->children[0] == nullptr) {
    ExprPtr slice = std::move(arguments[0]);
    slice->children[0] = std::move(owner);
    add_depth(*slice, slice->children[0], token);
    return slice;
  }
  return node(ExprKind::kSubscript, token, std::move(owner), std::move(arguments[0]));
}

ExprPtr ExpressionParser::subscript_argument() {
  const Token token = current();
  ExprPtr bounds[3];
  if (!at_operator(":")) {
    bounds[0] = expression();
    if (!at_operator(":")) return std::move(bounds[0]);
  }
  for (int i = 1; i < 3 && take_operator(":"); ++i) {
    if (!at_operator(":") && !at_operator("]") && !at_operator(",")) bounds[i] = expression();
  }
  ExprPtr owner;
  return node(ExprKind::kSlice, token, std::move(owner), std::move(bounds[0]), std::move(bounds[1]),
              std::move(bounds[2]));
}

CallArguments ExpressionParser::call_arguments(Expr& caller) {
  const Token open = current();
  expect_operator("(");
  CallArguments arguments;
  const auto ensure = [&](bool fine) {
    if (!fine) fail(open, "invalid syntax for function call expression");
  };
  bool first = true;
  while (!at_operator(")")) {
    if (!first) {
      expect_operator(",");
      if (at_operator(")")) break;
    }
    first = false;
    if (take_operator("*")) {
      ensure(!arguments.spread && !arguments.keyword_spread);
      add_depth(caller, arguments.spread = expression(), open);
    } else if (take_operator("**")) {
      ensure(!arguments.keyword_spread);
      add_depth(caller, arguments.keyword_spread = expression(), open);
    } else if (at_kind(TokenKind::kName) && next_token().kind == TokenKind::kOperator &&
               next_token().text == "=") {
      ensure(!arguments.keyword_spread);
      const Token key = take();
      for (const auto& [known, value] : arguments.keyword) {
        if (known == key.text) fail(key, "keyword argument repeated: " + key.text, "SyntaxError");
      }
      take();
      arguments.keyword.emplace_back(key.text, expression());
      add_depth(caller, arguments.keyword.back().second, open);
    } else {
      ensure(!arguments.spread && !arguments.keyword_spread && arguments.keyword.empty());
      arguments.positional.push_back(expression());
      add_depth(caller, arguments.positional.back(), open);
    }
  }
  expect_operator(")");
  return arguments;
}

ExprPtr ExpressionParser::call(ExprPtr callee) {
  // An error of the call is shown at what is called, not at its parenthesis.
  Token token = current();
  token.line = callee->line;
  token.column = callee->column;
  ExprPtr result = node(ExprKind::kCall, token, std::move(callee));
  result->call = call_arguments(*result);
  return result;
}

std::string ExpressionParser::dotted_name() {
  std::string name = expect(TokenKind::kName).text;
  while (take_operator(".")) name += "." + expect(TokenKind::kName).text;
  return name;
}

ExprPtr ExpressionParser::one_filter(ExprPtr value) {
  const Token token = current();
  ExprPtr result = node(ExprKind::kFilter, token, std::move(value));
  result->text = dotted_name();
  result->filter = find_filter(result->text);
  if (!result->filter)
    fail(token, "No filter named " + python_quoted(result->text) + ".", "TemplateAssertionError");
  if (at_operator("(")) result->call = call_arguments(*result);
  return result;
}

ExprPtr ExpressionParser::filter_chain(ExprPtr value) {
  while (take_operator("|")) value = one_filter(std::move(value));
  return value;
}

bool ExpressionParser::at_test_argument() const {
  switch (current().kind) {
    case TokenKind::kString:
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return true;
    case TokenKind::kName:
      return !at_name("else") && !at_name("or") && !at_name("and");
    default:
      return at_operator("[") || at_operator("{");
  }
}

ExprPtr ExpressionParser::test(ExprPtr value) {
  const Token is = take();
  const bool negated = take_name("not");
  const Token token = current();
  ExprPtr result = node(ExprKind::kTest, token, std::move(value));
  result->text = dotted_name();
  result->test = find_test(result->text);
  if (!result->test)
    fail(token, "No test named " + python_quoted(result->text) + ".", "TemplateAssertionError");
  if (at_operator("(")) {
    result->call = call_arguments(*result);
  } else if (at_test_argument()) {
    if (at_name("is")) fail(current(), "You cannot chain multiple tests with is");
    result->call.positional.push_back(postfix(primary()));
    add_depth(*result, result->call.positional.back(), token);
  }
  return negated ? node(ExprKind::kNot, is, std::move(result)) : std::move(result);
}

}  // namespace sluice::chat::jinja
