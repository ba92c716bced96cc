// Expressions as a nondeterministic machine: the step between trees and the automaton.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "chat/grammar/expression.h"

namespace sluice::chat::grammar {

class Nondeterministic {
 public:
  struct Edge {
    ByteSet bytes;   // if rule < 0
    Rule rule = -1;  // a call
    int32_t target = 0;
  };
  struct Node {
    std::vector<Edge> edges;
    std::vector<int32_t> free;  // targets without reading
    bool is_end = false;        // of a rule
  };

  // All rules of the grammar. Stops at `limit` nodes: then complete() is false.
  Nondeterministic(const Expressions& grammar, size_t limit);

  bool complete() const { return complete_; }
  const Node& node(int32_t index) const { return nodes_[static_cast<size_t>(index)]; }
  // (start, end) by rule.
  const std::vector<std::pair<int32_t, int32_t>>& rules() const { return rules_; }
  // The nodes that are reached from `from` without reading, sorted; only those that matter: that
  // read something, or end the rule. Sets that differ in others would be different states for
  // nothing.
  std::vector<int32_t> closure(std::vector<int32_t> from) const;

 private:
  int32_t add_node();
  void connect(int32_t from, int32_t to) { nodes_[static_cast<size_t>(from)].free.push_back(to); }
  // Adds what matches `expr` between `from` and a new node, which it returns.
  int32_t add(Expr expr, int32_t from);
  int32_t add_repeat(const Expressions::Node& node, int32_t from);
  int32_t add_text_until(const std::string& closer, int32_t from);

  const Expressions& grammar_;
  const size_t limit_;
  bool complete_ = true;
  std::vector<Node> nodes_;
  std::vector<std::pair<int32_t, int32_t>> rules_;
};

}  // namespace sluice::chat::grammar
