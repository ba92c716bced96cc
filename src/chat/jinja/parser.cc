#include "chat/jinja/parser.h"

#include <initializer_list>

#include "chat/jinja/error.h"
#include "chat/jinja/expression_parser.h"
#include "chat/jinja/print.h"

namespace sluice::chat::jinja {
namespace {

constexpr int kMaxBlockDepth = 100;  // as kMaxExpressionDepth; templates in use stay below 20

// Names of tags that end a block.
using EndTags = std::initializer_list<std::string_view>;

class StatementParser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Template run() {
    Template result;
    result.body = block({});
    result.symbols = take_symbols();
    return result;
  }

 private:
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
    std::string message = fmt::format("Encountered unknown tag {}.", python_quoted(tag.text));
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
      fail(current(), "Expected an expression, got " + python_quoted(describe(current())));
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
      fail(token, "unexpected " + python_quoted(describe(token)));
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

  int loop_depth_ = 0, block_depth_ = 0;
};

}  // namespace

Template parse_template(std::string_view source) { return StatementParser(source).run(); }

}  // namespace sluice::chat::jinja
