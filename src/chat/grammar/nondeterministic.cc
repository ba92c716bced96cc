#include "chat/grammar/nondeterministic.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::chat::grammar {

Nondeterministic::Nondeterministic(const Expressions& grammar, size_t limit)
    : grammar_(grammar), limit_(limit) {
  for (const Expr body : grammar.rules()) {
    SLUICE_CHECK(body >= 0, "rule {} is not defined", rules_.size());
    const int32_t start = add_node();
    const int32_t last = add(body, start), end = add_node();
    connect(last, end);
    nodes_[static_cast<size_t>(end)].is_end = true;
    rules_.emplace_back(start, end);
  }
}

int32_t Nondeterministic::add_node() {
  if (nodes_.size() >= limit_) {
    complete_ = false;
    return 0;  // what is built from now on is thrown away
  }
  nodes_.emplace_back();
  return static_cast<int32_t>(nodes_.size()) - 1;
}

int32_t Nondeterministic::add(Expr expr, int32_t from) {
  using Kind = Expressions::Node::Kind;
  const Expressions::Node& node = grammar_.node(expr);
  if (!complete_) return from;
  switch (node.kind) {
    case Kind::kBytes: {
      const int32_t end = add_node();
      nodes_[static_cast<size_t>(from)].edges.push_back({node.bytes, -1, end});
      return end;
    }
    case Kind::kCall: {
      const int32_t end = add_node();
      nodes_[static_cast<size_t>(from)].edges.push_back({{}, node.rule, end});
      return end;
    }
    case Kind::kSequence: {
      int32_t at = from;
      for (const Expr child : node.children) at = add(child, at);
      return at;
    }
    case Kind::kChoice: {
      const int32_t end = add_node();
      for (const Expr child : node.children) {
        // A node of its own: a repetition at the begin of one alternative must not lead into
        // another.
        const int32_t begin = add_node();
        connect(from, begin);
        connect(add(child, begin), end);
      }
      return end;
    }
    case Kind::kRepeat:
      return add_repeat(node, from);
    case Kind::kTextUntil:
      return add_text_until(node.text, from);
  }
  return from;
}

int32_t Nondeterministic::add_repeat(const Expressions::Node& node, int32_t from) {
  const Expr child = node.children[0];
  int32_t at = from;
  for (int64_t i = 0; i < node.minimum && complete_; ++i) at = add(child, at);
  const int32_t end = add_node();
  if (!node.maximum) {
    const int32_t loop = add_node();
    connect(at, loop);
    connect(add(child, loop), loop);
    connect(loop, end);
    return end;
  }
  connect(at, end);
  for (int64_t i = node.minimum; i < *node.maximum && complete_; ++i) {
    const int32_t begin = add_node();
    connect(at, begin);
    at = add(child, begin);
    connect(at, end);
  }
  return end;
}

// The machine of Knuth, Morris and Pratt; the closer's first byte occurs in it once, so that a
// mismatch goes back to the begin, or to one matched byte.
int32_t Nondeterministic::add_text_until(const std::string& closer, int32_t from) {
  // Characters that are more than one byte lead back to the begin through nodes of their own.
  Expressions characters;
  const Expr wide = characters.character({{0x80, 0x10FFFF}});
  std::vector<int32_t> matched = {add_node()};
  connect(from, matched[0]);
  for (size_t i = 0; i < closer.size(); ++i) matched.push_back(add_node());
  for (size_t i = 0; i < closer.size() && complete_; ++i) {
    ByteSet others;
    for (size_t byte = 0; byte < 0x80; ++byte) others.set(byte);
    const auto next = static_cast<unsigned char>(closer[i]),
               first = static_cast<unsigned char>(closer[0]);
    const auto on = [&](unsigned char byte, int32_t target) {
      others.reset(byte);
      ByteSet one;
      one.set(byte);
      nodes_[static_cast<size_t>(matched[i])].edges.push_back({one, -1, target});
    };
    on(next, matched[i + 1]);
    if (i > 0) on(first, matched[1]);
    nodes_[static_cast<size_t>(matched[i])].edges.push_back({others, -1, matched[0]});
    for (const Expr encoding : characters.node(wide).children) {
      int32_t at = matched[i];
      const auto& parts = characters.node(encoding).children;
      for (size_t part = 0; part < parts.size() && complete_; ++part) {
        const int32_t target = part + 1 == parts.size() ? matched[0] : add_node();
        nodes_[static_cast<size_t>(at)].edges.push_back(
            {characters.node(parts[part]).bytes, -1, target});
        at = target;
      }
    }
  }
  return matched.back();
}

std::vector<int32_t> Nondeterministic::closure(std::vector<int32_t> from) const {
  std::vector<int32_t> all = std::move(from);
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::vector<int32_t> open = all;
  while (!open.empty()) {
    const int32_t at = open.back();
    open.pop_back();
    for (const int32_t target : node(at).free) {
      const auto place = std::lower_bound(all.begin(), all.end(), target);
      if (place != all.end() && *place == target) continue;
      all.insert(place, target);
      open.push_back(target);
    }
  }
  std::erase_if(all, [&](int32_t at) { return node(at).edges.empty() && !node(at).is_end; });
  return all;
}

}  // namespace sluice::chat::grammar
