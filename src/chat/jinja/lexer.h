// Template source to tokens, with the white-space rules of Jinja2 under trim_blocks and
// lstrip_blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::chat::jinja {

enum class TokenKind : uint8_t {
  kData,  // template text between tags
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,    // text: the unescaped contents
  kInteger,   // text: decimal digits
  kFloat,     // text: digits without underscores
  kOperator,  // text: one of + - / // * % ** ~ [ ] ( ) { } == != > >= < <= = . : | , ;
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1, column = 1;
};

// Throws JinjaError (TemplateSyntaxError) with the place of what it cannot read. `source` must be
// well-formed UTF-8.
std::vector<Token> tokenize(std::string_view source);

}  // namespace sluice::chat::jinja
