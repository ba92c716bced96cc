#include "chat/jinja/parser.h"

#include <cstdlib>
#include <optional>
#include <unordered_map>

#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/lexer.h"
#include "chat/jinja/print.h"
#include "chat/jinja/tests.h"

namespace sluice::chat::jinja {
namespace {

// Bounds of the tree, so that walking it cannot exhaust the stack. Templates in use stay below 40
// and 20.
constexpr int kMaxExpressionDepth = 200;
constexpr int kMaxBlockDepth = 100;

Value frozen_text(std::string_view text) {
  if (text.empty()) return Value::string(Text());
  auto buffer = std::make_shared<TextBuffer>();
  buffer->append(text, false);
  buffer->frozen = true;
  return Value::string(Text(std::move(buffer)));
}

// A tag that ends a block; what the parser meets there.
using EndTags = std::initializer_list<std::string_view>;

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}

  Template run() {
    result_.body = block({});
    return std::move(result_);
  }

 private:
  // --- tokens ---

  const Token& current() const { return tokens_[at_]; }
  const Token& next_token() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return current().kind == TokenKind::kEnd ? tokens_[at_] : tokens_[at_++]; }
  bool at_kind(TokenKind kind) const { return current().kind == kind; }
  bool at_name(std::string_view name) const {
    return at_kind(TokenKind::kName) && current().text == name;
  }
  bool at_operator(std::string_view text) const {
    return at_kind(TokenKind::kOperator) && current().text == text;
  }
  bool take_name(std::string_view name) { return at_name(name) && (take(), true); }
  bool take_operator(std::string_view text) { return at_operator(text) && (take(), true); }

  static std::string describe(const Token& token) {
    switch (token.kind) {
      case TokenKind::kData:
        return "template data / text";
      case TokenKind::kVariableBegin:
        return "begin of print statement";
      case TokenKind::kVariableEnd:
        return "end of print statement";
      case TokenKind::kBlockBegin:
        return "begin of statement block";
      case TokenKind::kBlockEnd:
        return "end of statement block";
      case TokenKind::kString:
        return "string";
      case TokenKind::kInteger:
        return "integer";
      case TokenKind::kFloat:
        return "float";
      case TokenKind::kEnd:
        return "end of template";
      case TokenKind::kName:
      case TokenKind::kOperator:
        return token.text;
    }
    return token.text;
  }

  [[noreturn]] static void fail(const Token& where, std::string message,
                                const char* kind = "TemplateSyntaxError") {
    throw JinjaError(kind, std::move(message), where.line, where.column);
  }
  [[noreturn]] void unexpected(std::string_view wanted) const {
    if (at_kind(TokenKind::kEnd))
      fail(current(), fmt::format("unexpected end of template, expected '{}'.", wanted));
    fail(current(),
         fmt::format("expected token '{}', got {}", wanted, quoted(describe(current()))));
  }
  void expect_operator(std::string_view text) {
    if (!take_operator(text)) unexpected(text);
  }
  Token expect(TokenKind kind) {
    if (!at_kind(kind)) {
      Token wanted;
      wanted.kind = kind;
      unexpected(kind == TokenKind::kName ? "name" : describe(wanted));
    }
    return take();
  }

  int symbol(const std::string& name) {
    const auto [found, added] = symbol_numbers_.emplace(name, result_.symbols.size());
    if (added) result_.symbols.push_back(name);
    return static_cast<int>(found->second);
  }

  // --- statements ---

  std::unique_ptr<Statement> statement_at(StatementKind kind, const Token& token) {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->line = token.line;
    statement->column = token.column;
    return statement;
  }

  // Up to one of `ends` (whose name is then the current token), or to the template's end if there
  // are none.
  Block block(EndTags ends) {
    if (++block_depth_ > kMaxBlockDepth) {
      fail(current(), fmt::format("blocks are nested deeper than {}", kMaxBlockDepth),
           "Unsupported");
    }
    Block body;
    while (!at_kind(TokenKind::kEnd)) {
      const Token token = take();
      if (token.kind == TokenKind::kData) {
        body.push_back(statement_at(StatementKind::kText, token));
        body.back()->text = frozen_text(token.text).text();
      } else if (token.kind == TokenKind::kVariableBegin) {
        body.push_back(statement_at(StatementKind::kPrint, token));
        body.back()->expressions.push_back(tuple());
        expect(TokenKind::kVariableEnd);
      } else {
        for (const std::string_view end : ends) {
          if (at_name(end)) {
            --block_depth_;
            return body;
          }
        }
        body.push_back(statement(ends));
        expect(TokenKind::kBlockEnd);
      }
    }
    if (ends.size() > 0) {
      std::string wanted;
      for (const std::string_view end : ends)
        wanted += fmt::format("{}'{}'", wanted.empty() ? "" : " or ", end);
      fail(current(),
           "Unexpected end of template. Jinja was looking for the following tags: " + wanted + ".");
    }
    --block_depth_;
    return body;
  }

  // The body of a tag: its end, the statements, and the end tag's name unless several are possible.
  Block body_until(EndTags ends) {
    take_operator(":");
    expect(TokenKind::kBlockEnd);
    Block body = block(ends);
    if (ends.size() == 1) take();
    return body;
  }

  // `break` inside a macro's body does not see the loop around the macro.
  template <typename Parse>
  auto outside_of_loops(Parse&& parse) {
    const int loops = std::exchange(loop_depth_, 0);
    auto result = parse();
    loop_depth_ = loops;
    return result;
  }

  std::unique_ptr<Statement> statement(EndTags ends) {
    const Token tag = current();
    if (tag.kind != TokenKind::kName) fail(tag, "tag name expected");
    take();
    if (tag.text == "if") return if_statement(tag);
    if (tag.text == "for") return for_statement(tag);
    if (tag.text == "set") return set_statement(tag);
    if (tag.text == "macro") return macro_statement(tag);
    if (tag.text == "call") return call_statement(tag);
    if (tag.text == "filter") return filter_statement(tag);
    if (tag.text == "with") return with_statement(tag);
    if (tag.text == "print") return print_statement(tag);
    if (tag.text == "generation") {
      auto result = statement_at(StatementKind::kGeneration, tag);
      result->body = outside_of_loops([&] { return body_until({"endgeneration"}); });
      return result;
    }
    if (tag.text == "break" || tag.text == "continue") {
      if (loop_depth_ == 0) fail(tag, fmt::format("'{}' outside loop", tag.text), "SyntaxError");
      return statement_at(tag.text == "break" ? StatementKind::kBreak : StatementKind::kContinue,
                          tag);
    }
    for (const char* known : {"extends", "block", "include", "import", "from", "autoescape"}) {
      if (tag.text == known)
        fail(tag, fmt::format("the tag '{}' is not supported", tag.text), "Unsupported");
    }
    std::string message = fmt::format("Encountered unknown tag {}.", quoted(tag.text));
    if (ends.size() > 0) {
      message += " Jinja was looking for the following tags:";
      for (const std::string_view end : ends) message += fmt::format(" '{}'", end);
    }
    fail(tag, std::move(message));
  }

  std::unique_ptr<Statement> if_statement(const Token& tag) {
    auto result = statement_at(StatementKind::kIf, tag);
    while (true) {
      Statement::Branch branch;
      branch.condition = tuple(false);
      branch.body = body_until({"elif", "else", "endif"});
      result->branches.push_back(std::move(branch));
      const Token end = take();
      if (end.text == "elif") continue;
      if (end.text == "else") {
        result->branches.push_back({nullptr, body_until({"endif"})});
      }
      return result;
    }
  }

  std::unique_ptr<Statement> for_statement(const Token& tag) {
    auto result = statement_at(StatementKind::kFor, tag);
    result->target = assign_target(false, "in");
    if (!take_name("in")) unexpected("in");
    result->expressions.push_back(tuple(false, "recursive"));
    result->expressions.push_back(take_name("if") ? expression() : nullptr);
    if (at_name("recursive")) fail(current(), "recursive loops are not supported", "Unsupported");
    ++loop_depth_;
    result->body = body_until({"endfor", "else"});
    --loop_depth_;
    if (take().text == "else") result->else_body = body_until({"endfor"});
    return result;
  }

  std::unique_ptr<Statement> set_statement(const Token& tag) {
    auto result = statement_at(StatementKind::kSet, tag);
    result->target = assign_target(true, {});
    if (take_operator("=")) {
      result->expressions.push_back(tuple());
      return result;
    }
    result->kind = StatementKind::kSetBlock;
    result->expressions.push_back(at_operator("|") ? filter_chain(nullptr) : nullptr);
    result->body = body_until({"endset"});
    return result;
  }

  std::unique_ptr<Statement> macro_statement(const Token& tag) {
    auto result = statement_at(StatementKind::kMacro, tag);
    const Token name = target_name();
    result->name = name.text;
    result->symbol = symbol(name.text);
    signature(*result);
    macro_body(*result, "endmacro");
    return result;
  }

  std::unique_ptr<Statement> call_statement(const Token& tag) {
    auto result = statement_at(StatementKind::kCall, tag);
    if (at_operator("(")) signature(*result);
    result->expressions.push_back(expression());
    if (result->expressions[0]->kind != ExprKind::kCall) fail(tag, "expected call");
    macro_body(*result, "endcall");
    return result;
  }

  void macro_body(Statement& macro, std::string_view end) {
    const auto outer = std::exchange(names_read_, {});
    macro.body = outside_of_loops([&] { return body_until({end}); });
    macro.reads_caller = names_read_.caller;
    macro.reads_varargs = names_read_.varargs;
    macro.reads_kwargs = names_read_.kwargs;
    names_read_.caller = names_read_.caller || outer.caller;
    names_read_.varargs = names_read_.varargs || outer.varargs;
    names_read_.kwargs = names_read_.kwargs || outer.kwargs;
  }

  void signature(Statement& macro) {
    expect_operator("(");
    while (!at_operator(")")) {
      if (!macro.parameters.empty()) expect_operator(",");
      const Token name = target_name();
      Parameter parameter;
      parameter.name = name.text;
      parameter.symbol = symbol(name.text);
      if (take_operator("=")) {
        parameter.default_value = expression();
      } else if (!macro.parameters.empty() && macro.parameters.back().default_value) {
        fail(name, "non-default argument follows default argument");
      }
      macro.parameters.push_back(std::move(parameter));
    }
    expect_operator(")");
  }

  std::unique_ptr<Statement> filter_statement(const Token& tag) {
    auto result = statement_at(StatementKind::kFilterBlock, tag);
    result->expressions.push_back(filter_chain(one_filter(nullptr)));
    result->body = body_until({"endfilter"});
    return result;
  }

  std::unique_ptr<Statement> with_statement(const Token& tag) {
    auto result = statement_at(StatementKind::kWith, tag);
    while (!at_kind(TokenKind::kBlockEnd) && !at_operator(":")) {
      if (!result->targets.empty()) expect_operator(",");
      result->targets.push_back(assign_target(false, {}));
      expect_operator("=");
      result->expressions.push_back(expression());
    }
    result->body = body_until({"endwith"});
    return result;
  }

  std::unique_ptr<Statement> print_statement(const Token& tag) {
    auto result = statement_at(StatementKind::kPrint, tag);
    while (!at_kind(TokenKind::kBlockEnd)) {
      if (!result->expressions.empty()) expect_operator(",");
      result->expressions.push_back(expression());
    }
    return result;
  }

  // --- assignment targets ---

  static bool is_constant_name(std::string_view name) {
    for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
      if (name == constant) return true;
    }
    return false;
  }

  Token target_name() {
    const Token name = expect(TokenKind::kName);
    if (is_constant_name(name.text)) fail(name, "can't assign to 'name'");
    return name;
  }

  Target assign_target(bool with_attribute, std::string_view end_name) {
    Target target;
    target.line = current().line;
    target.column = current().column;
    bool is_tuple = false;
    while (true) {
      if (!target.parts.empty()) expect_operator(",");
      if (at_tuple_end(end_name)) break;
      target.parts.push_back(single_target(with_attribute));
      if (!at_operator(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && target.parts.empty()) {
      fail(current(), "Expected an expression, got " + quoted(describe(current())));
    }
    if (!is_tuple) return Target(target.parts.front());
    target.kind = Target::Kind::kTuple;
    return target;
  }

  Target single_target(bool with_attribute) {
    const Token token = current();
    if (at_operator("(")) {
      if (++nesting_ > kMaxExpressionDepth) too_deep(token);
      take();
      Target target = assign_target(with_attribute, {});
      expect_operator(")");
      --nesting_;
      return target;
    }
    if (token.kind != TokenKind::kName) {
      if (token.kind == TokenKind::kInteger || token.kind == TokenKind::kString ||
          token.kind == TokenKind::kFloat) {
        fail(token, "can't assign to 'const'");
      }
      fail(token, "unexpected " + quoted(describe(token)));
    }
    if (is_constant_name(token.text)) fail(token, "can't assign to 'const'");
    take();
    Target target;
    target.line = token.line;
    target.column = token.column;
    target.symbol = symbol(token.text);
    if (with_attribute && take_operator(".")) {
      target.kind = Target::Kind::kAttribute;
      target.attribute = expect(TokenKind::kName).text;
      note_read(token.text);
    }
    return target;
  }

  // --- expressions ---

  [[noreturn]] static void too_deep(const Token& token) {
    fail(token, fmt::format("expressions are nested deeper than {}", kMaxExpressionDepth),
         "Unsupported");
  }

  static ExprPtr node(ExprKind kind, const Token& token) {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = token.line;
    expr->column = token.column;
    return expr;
  }

  static void add_depth(Expr& parent, const ExprPtr& child, const Token& token) {
    if (child) parent.depth = std::max(parent.depth, child->depth + 1);
    if (parent.depth > kMaxExpressionDepth) too_deep(token);
  }

  template <typename... Children>
  static ExprPtr node(ExprKind kind, const Token& token, Children... children) {
    ExprPtr expr = node(kind, token);
    (expr->children.push_back(std::move(children)), ...);
    for (const ExprPtr& child : expr->children) add_depth(*expr, child, token);
    return expr;
  }

  bool at_tuple_end(std::string_view end_name) const {
    return at_kind(TokenKind::kVariableEnd) || at_kind(TokenKind::kBlockEnd) || at_operator(")") ||
           (!end_name.empty() && at_name(end_name));
  }

  // An expression, or several with commas: a tuple.
  ExprPtr tuple(bool with_conditional = true, std::string_view end_name = {},
                bool in_parentheses = false) {
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
      fail(current(), "Expected an expression, got " + quoted(describe(current())));
    return result;
  }

  ExprPtr expression() {
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

  ExprPtr or_expression() {
    ExprPtr left = and_expression();
    while (at_name("or")) {
      const Token token = take();
      left = node(ExprKind::kOr, token, std::move(left), and_expression());
    }
    return left;
  }

  ExprPtr and_expression() {
    ExprPtr left = not_expression();
    while (at_name("and")) {
      const Token token = take();
      left = node(ExprKind::kAnd, token, std::move(left), not_expression());
    }
    return left;
  }

  ExprPtr not_expression() {
    if (!at_name("not")) return comparison();
    const Token token = take();
    if (++nesting_ > kMaxExpressionDepth) too_deep(token);
    ExprPtr inner = not_expression();
    --nesting_;
    return node(ExprKind::kNot, token, std::move(inner));
  }

  std::optional<Operator> comparison_operator() {
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

  ExprPtr comparison() {
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

  ExprPtr binary(const Token& token, Operator op, ExprPtr left, ExprPtr right) {
    ExprPtr result = node(ExprKind::kBinary, token, std::move(left), std::move(right));
    result->op = op;
    return result;
  }

  ExprPtr sum() {
    ExprPtr left = concatenation();
    while (at_operator("+") || at_operator("-")) {
      const Token token = take();
      left = binary(token, token.text == "+" ? Operator::kAdd : Operator::kSubtract,
                    std::move(left), concatenation());
    }
    return left;
  }

  ExprPtr concatenation() {
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

  ExprPtr product() {
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

  // Left-associative, and weaker than a sign: Jinja2's choice, not Python's.
  ExprPtr power() {
    ExprPtr left = unary(true);
    while (at_operator("**")) {
      const Token token = take();
      left = binary(token, Operator::kPower, std::move(left), unary(true));
    }
    return left;
  }

  ExprPtr unary(bool with_filter) {
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

  void note_read(std::string_view name) {
    names_read_.caller = names_read_.caller || name == "caller";
    names_read_.varargs = names_read_.varargs || name == "varargs";
    names_read_.kwargs = names_read_.kwargs || name == "kwargs";
  }

  ExprPtr constant(const Token& token, Value value) {
    ExprPtr result = node(ExprKind::kConstant, token);
    result->constant = std::move(value);
    return result;
  }

  ExprPtr primary() {
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
    fail(token, "unexpected " + quoted(describe(token)));
  }

  ExprPtr name(const Token& token) {
    if (token.text == "true" || token.text == "True") return constant(token, Value::boolean(true));
    if (token.text == "false" || token.text == "False")
      return constant(token, Value::boolean(false));
    if (token.text == "none" || token.text == "None") return constant(token, Value::none());
    note_read(token.text);
    ExprPtr result = node(ExprKind::kName, token);
    result->symbol = symbol(token.text);
    return result;
  }

  ExprPtr list() {
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

  ExprPtr dict() {
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

  ExprPtr postfix(ExprPtr value) {
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

  ExprPtr filters_and_tests(ExprPtr value) {
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

  ExprPtr attribute(ExprPtr owner) {
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

  ExprPtr subscript(ExprPtr owner) {
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

  // An expression, or a slice whose owner is still missing (children[0] null).
  ExprPtr subscript_argument() {
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
    return node(ExprKind::kSlice, token, std::move(owner), std::move(bounds[0]),
                std::move(bounds[1]), std::move(bounds[2]));
  }

  CallArguments call_arguments(Expr& caller) {
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

  ExprPtr call(ExprPtr callee) {
    // An error of the call is shown at what is called, not at its parenthesis.
    Token token = current();
    token.line = callee->line;
    token.column = callee->column;
    ExprPtr result = node(ExprKind::kCall, token, std::move(callee));
    result->call = call_arguments(*result);
    return result;
  }

  std::string dotted_name() {
    std::string name = expect(TokenKind::kName).text;
    while (take_operator(".")) name += "." + expect(TokenKind::kName).text;
    return name;
  }

  ExprPtr one_filter(ExprPtr value) {
    const Token token = current();
    ExprPtr result = node(ExprKind::kFilter, token, std::move(value));
    result->text = dotted_name();
    result->filter = find_filter(result->text);
    if (!result->filter)
      fail(token, "No filter named " + quoted(result->text) + ".", "TemplateAssertionError");
    if (at_operator("(")) result->call = call_arguments(*result);
    return result;
  }

  ExprPtr filter_chain(ExprPtr value) {
    while (take_operator("|")) value = one_filter(std::move(value));
    return value;
  }

  bool at_test_argument() const {
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

  ExprPtr test(ExprPtr value) {
    const Token is = take();
    const bool negated = take_name("not");
    const Token token = current();
    ExprPtr result = node(ExprKind::kTest, token, std::move(value));
    result->text = dotted_name();
    result->test = find_test(result->text);
    if (!result->test)
      fail(token, "No test named " + quoted(result->text) + ".", "TemplateAssertionError");
    if (at_operator("(")) {
      result->call = call_arguments(*result);
    } else if (at_test_argument()) {
      if (at_name("is")) fail(current(), "You cannot chain multiple tests with is");
      result->call.positional.push_back(postfix(primary()));
      add_depth(*result, result->call.positional.back(), token);
    }
    return negated ? node(ExprKind::kNot, is, std::move(result)) : std::move(result);
  }

  struct NamesRead {
    bool caller = false, varargs = false, kwargs = false;
  };

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Template result_;
  std::unordered_map<std::string, size_t> symbol_numbers_;
  NamesRead names_read_;
  int loop_depth_ = 0, block_depth_ = 0, nesting_ = 0;
};

}  // namespace

Template parse_template(std::string_view source) { return Parser(source).run(); }

}  // namespace sluice::chat::jinja
