// Objects and arrays with some members required, some not, and others allowed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "chat/grammar/json_grammar.h"

namespace sluice::chat::grammar {

struct ObjectParts {
  struct Member {
    Expr text;  // key, colon, value
    bool required = false;
  };
  std::vector<Member> members;  // in this order
  std::optional<Expr> others;   // after them, any number
};
Expr object_of(Expressions& grammar, JsonGrammar& json, const ObjectParts& parts);

struct ArrayParts {
  std::vector<Expr> first;  // items by place
  Expr others = -1;         // those after them
  int64_t minimum = 0;
  std::optional<int64_t> maximum;
};
Expr array_of(Expressions& grammar, JsonGrammar& json, const ArrayParts& parts);

}  // namespace sluice::chat::grammar
