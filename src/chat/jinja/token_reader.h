// The tokens of a template, with what every rule of the grammar asks of them. Private to the
// parser.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/lexer.h"

namespace sluice::chat::jinja {

class TokenReader {
 public:
  explicit TokenReader(std::string_view source) : tokens_(tokenize(source)) {}

 protected:
  const Token& current() const { return tokens_[at_]; }
  const Token& next_token() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() { return current().kind == TokenKind::kEnd ? tokens_[at_] : tokens_[at_++]; }
  bool at_kind(TokenKind kind) const { return current().kind == kind; }
  bool at_name(std::string_view name) const;
  bool at_operator(std::string_view text) const;
  bool take_name(std::string_view name) { return at_name(name) && (take(), true); }
  bool take_operator(std::string_view text) { return at_operator(text) && (take(), true); }
  static std::string describe(const Token& token);
  [[noreturn]] static void fail(const Token& where, std::string message,
                                const char* kind = "TemplateSyntaxError");
  [[noreturn]] void unexpected(std::string_view wanted) const;
  void expect_operator(std::string_view text);
  Token expect(TokenKind kind);

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace sluice::chat::jinja
