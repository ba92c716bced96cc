// JSON's own rules as expressions: what schemas are built of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "chat/grammar/expression.h"

namespace sluice::chat::grammar {

enum class WhiteSpace {
  kBounded,  // between tokens: at most 2 line breaks, and 32 spaces or tabs in a row
  kNone,
};

class JsonGrammar {
 public:
  JsonGrammar(Expressions& grammar, WhiteSpace white_space);

  Expr space();  // white space that may be there
  Expr value();  // any JSON value
  Expr object();
  Expr array();
  Expr string();
  Expr string(int64_t minimum, std::optional<int64_t> maximum);  // lengths in characters
  Expr number();
  Expr integer();  // without fraction and exponent
  Expr boolean();
  Expr null();
  // Exactly this value: strings in the canonical spelling, numbers as written.
  Expr constant(const Json& value);
  // A key that is none of `names`; without escapes, so that no other spelling can mean one.
  Expr other_key(std::vector<std::string> names);

  // '{' ... '}' around members, which carry the white space after them; the same for '['.
  Expr braced(char open, Expr inside, char close);
  Expr member(Expr key, Expr value);  // key, colon, value, white space
  Expr separator();                   // comma, white space
  // An expression as a rule of its own: what is used often costs its states once.
  Expr shared(Expr body);

 private:
  Expr lazily(Expr& slot, Expr (JsonGrammar::*make)());
  Expr make_space();
  Expr make_string();
  Expr make_string_rest();
  Expr make_number();
  Expr make_integer();
  Expr character();  // of a string
  Expr digits(int64_t minimum);
  Expr any_object();
  Expr any_array();
  Expr other_key_from(const std::vector<std::u32string>& names, size_t depth);

  Expressions& g_;
  const WhiteSpace white_space_;
  Expr space_ = -1, string_ = -1, string_rest_ = -1, number_ = -1, integer_ = -1, character_ = -1;
  Rule value_ = -1, object_ = -1, array_ = -1;
};

}  // namespace sluice::chat::grammar
