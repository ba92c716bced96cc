// Grammars as trees: what the compilers of schemas and tools write, before it becomes an automaton.
//
// A grammar is a set of rules over bytes. Within a rule everything is regular; a rule may call
// others and itself, which is where nesting comes from.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::chat::grammar {

using ByteSet = std::bitset<256>;
using Expr = int32_t;  // of one Expressions
using Rule = int32_t;
using CodePoints = std::vector<std::pair<char32_t, char32_t>>;  // closed ranges

class Expressions {
 public:
  struct Node {
    enum class Kind { kBytes, kSequence, kChoice, kRepeat, kCall, kTextUntil };
    Kind kind = Kind::kSequence;
    ByteSet bytes = {};
    std::vector<Expr> children = {};
    int64_t minimum = 0;
    std::optional<int64_t> maximum = {};  // of a repetition; nothing: no bound
    Rule rule = -1;
    std::string text = {};
  };

  Expr empty() { return sequence({}); }
  Expr never() { return choice({}); }  // matches nothing, not even the empty text
  Expr literal(std::string_view text);
  Expr bytes(const ByteSet& set);
  Expr sequence(std::vector<Expr> parts);
  Expr choice(std::vector<Expr> alternatives);
  Expr repeat(Expr part, int64_t minimum, std::optional<int64_t> maximum);
  Expr optional(Expr part) { return repeat(part, 0, 1); }
  Expr call(Rule rule);
  // One character of the ranges, as UTF-8. Surrogates are left out.
  Expr character(const CodePoints& ranges);
  // Any well-formed UTF-8 up to and with the first occurrence of `closer`, whose first byte must
  // not occur in it again.
  Expr text_until(std::string_view closer);

  // Rules may be called before they are defined. A rule must not match the empty text.
  Rule declare();
  void define(Rule rule, Expr body);

  const Node& node(Expr expr) const { return nodes_[static_cast<size_t>(expr)]; }
  const std::vector<Expr>& rules() const { return rules_; }  // bodies; -1 if not defined
  size_t size() const { return nodes_.size(); }

 private:
  Expr add(Node node);

  std::vector<Node> nodes_;
  std::vector<Expr> rules_;
};

// The code points that `ranges` (sorted, disjoint) leaves out of `all`.
CodePoints without(const CodePoints& all, const CodePoints& ranges);
inline const CodePoints kAnyCharacter = {{0, 0x10FFFF}};

}  // namespace sluice::chat::grammar
