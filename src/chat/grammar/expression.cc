#include "chat/grammar/expression.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/utf8.h"

namespace sluice::chat::grammar {

Expr Expressions::add(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<Expr>(nodes_.size()) - 1;
}

Expr Expressions::bytes(const ByteSet& set) {
  return add({.kind = Node::Kind::kBytes, .bytes = set});
}

Expr Expressions::literal(std::string_view text) {
  std::vector<Expr> parts;
  for (const char c : text) {
    ByteSet one;
    one.set(static_cast<unsigned char>(c));
    parts.push_back(bytes(one));
  }
  return sequence(std::move(parts));
}

Expr Expressions::sequence(std::vector<Expr> parts) {
  if (parts.size() == 1) return parts[0];
  return add({.kind = Node::Kind::kSequence, .children = std::move(parts)});
}

Expr Expressions::choice(std::vector<Expr> alternatives) {
  if (alternatives.size() == 1) return alternatives[0];
  return add({.kind = Node::Kind::kChoice, .children = std::move(alternatives)});
}

Expr Expressions::repeat(Expr part, int64_t minimum, std::optional<int64_t> maximum) {
  SLUICE_CHECK(minimum >= 0 && (!maximum || minimum <= *maximum), "minimum {} maximum {}", minimum,
               maximum.value_or(-1));
  return add(
      {.kind = Node::Kind::kRepeat, .children = {part}, .minimum = minimum, .maximum = maximum});
}

Expr Expressions::call(Rule rule) { return add({.kind = Node::Kind::kCall, .rule = rule}); }

Expr Expressions::text_until(std::string_view closer) {
  SLUICE_CHECK(!closer.empty() && closer.find(closer[0], 1) == std::string_view::npos, "closer {}",
               closer);
  return add({.kind = Node::Kind::kTextUntil, .text = std::string(closer)});
}

Rule Expressions::declare() {
  rules_.push_back(-1);
  return static_cast<Rule>(rules_.size()) - 1;
}

void Expressions::define(Rule rule, Expr body) { rules_[static_cast<size_t>(rule)] = body; }

namespace {

ByteSet byte_range(unsigned char first, unsigned char last) {
  ByteSet set;
  for (int byte = first; byte <= last; ++byte) set.set(static_cast<size_t>(byte));
  return set;
}

// The largest code point of `size` bytes, and the bits below the first byte that vary freely.
constexpr std::array<char32_t, 5> kLargest = {0, 0x7F, 0x7FF, 0xFFFF, 0x10FFFF};

// Splits [first, last], whose encodings have one length, into pieces in which every byte is a range
// by itself, and appends an expression for each.
void split_range(Expressions& grammar, char32_t first, char32_t last, size_t size,
                 std::vector<Expr>& out) {
  for (size_t rest = 1; rest < size; ++rest) {
    const char32_t mask = (char32_t{1} << (6 * rest)) - 1;
    if ((first & ~mask) == (last & ~mask)) continue;
    if ((first & mask) != 0) {
      split_range(grammar, first, first | mask, size, out);
      split_range(grammar, (first | mask) + 1, last, size, out);
      return;
    }
    if ((last & mask) != mask) {
      split_range(grammar, first, (last & ~mask) - 1, size, out);
      split_range(grammar, last & ~mask, last, size, out);
      return;
    }
  }
  std::string low, high;
  append_utf8(first, low);
  append_utf8(last, high);
  std::vector<Expr> parts;
  for (size_t i = 0; i < size; ++i)
    parts.push_back(grammar.bytes(
        byte_range(static_cast<unsigned char>(low[i]), static_cast<unsigned char>(high[i]))));
  out.push_back(grammar.sequence(std::move(parts)));
}

}  // namespace

Expr Expressions::character(const CodePoints& ranges) {
  std::vector<Expr> pieces;
  for (const auto& [first, last] : without(ranges, {{0xD800, 0xDFFF}})) {
    char32_t begin = first;
    for (size_t size = 1; size < kLargest.size() && begin <= last; ++size) {
      if (begin > kLargest[size]) continue;
      const char32_t end = std::min(last, kLargest[size]);
      split_range(*this, begin, end, size, pieces);
      begin = end + 1;
    }
  }
  return choice(std::move(pieces));
}

CodePoints without(const CodePoints& all, const CodePoints& ranges) {
  CodePoints rest;
  for (auto [first, last] : all) {
    bool used_up = false;
    for (const auto& [hole_first, hole_last] : ranges) {
      if (hole_last < first || hole_first > last) continue;
      if (hole_first > first) rest.emplace_back(first, hole_first - 1);
      if (hole_last >= last) {
        used_up = true;
        break;
      }
      first = hole_last + 1;
    }
    if (!used_up) rest.emplace_back(first, last);
  }
  return rest;
}

}  // namespace sluice::chat::grammar
