#include "chat/jinja/token_reader.h"

#include "chat/jinja/error.h"
#include "chat/jinja/print.h"

namespace sluice::chat::jinja {

bool TokenReader::at_name(std::string_view name) const {
  return at_kind(TokenKind::kName) && current().text == name;
}

bool TokenReader::at_operator(std::string_view text) const {
  return at_kind(TokenKind::kOperator) && current().text == text;
}

std::string TokenReader::describe(const Token& token) {
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

void TokenReader::fail(const Token& where, std::string message, const char* kind) {
  throw JinjaError(kind, std::move(message), where.line, where.column);
}

void TokenReader::unexpected(std::string_view wanted) const {
  if (at_kind(TokenKind::kEnd))
    fail(current(), fmt::format("unexpected end of template, expected '{}'.", wanted));
  fail(current(),
       fmt::format("expected token '{}', got {}", wanted, python_quoted(describe(current()))));
}

void TokenReader::expect_operator(std::string_view text) {
  if (!take_operator(text)) unexpected(text);
}

Token TokenReader::expect(TokenKind kind) {
  if (!at_kind(kind)) {
    Token wanted;
    wanted.kind = kind;
    unexpected(kind == TokenKind::kName ? "name" : describe(wanted));
  }
  return take();
}

}  // namespace sluice::chat::jinja
