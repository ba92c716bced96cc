#include "chat/grammar/json_grammar.h"

#include <algorithm>
#include <map>

namespace sluice::chat::grammar {
namespace {

ByteSet one_of(std::string_view bytes) {
  ByteSet set;
  for (const char c : bytes) set.set(static_cast<unsigned char>(c));
  return set;
}
ByteSet hex_digits() { return one_of("0123456789abcdefABCDEF"); }

// Of well-formed UTF-8.
std::u32string code_points(std::string_view text) {
  std::u32string points;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      points += byte;
    } else if (byte < 0xC0) {
      points.back() = points.back() << 6 | (byte & 0x3Fu);
    } else {
      points += byte & (byte < 0xE0 ? 0x1Fu : byte < 0xF0 ? 0x0Fu : 0x07u);
    }
  }
  return points;
}

// What stands in a string as itself.
const CodePoints kPlainCharacters = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}};

}  // namespace

JsonGrammar::JsonGrammar(Expressions& grammar, WhiteSpace white_space)
    : g_(grammar), white_space_(white_space) {}

Expr JsonGrammar::shared(Expr body) {
  const Rule rule = g_.declare();
  g_.define(rule, body);
  return g_.call(rule);
}

Expr JsonGrammar::lazily(Expr& slot, Expr (JsonGrammar::*make)()) {
  if (slot < 0) slot = (this->*make)();
  return slot;
}

Expr JsonGrammar::space() { return lazily(space_, &JsonGrammar::make_space); }
Expr JsonGrammar::string() { return lazily(string_, &JsonGrammar::make_string); }
Expr JsonGrammar::number() { return lazily(number_, &JsonGrammar::make_number); }
Expr JsonGrammar::integer() { return lazily(integer_, &JsonGrammar::make_integer); }

Expr JsonGrammar::make_space() {
  if (white_space_ == WhiteSpace::kNone) return g_.empty();
  const Expr blank = g_.bytes(one_of(" \t")), line = g_.literal("\n");
  const Expr more = g_.sequence({line, g_.repeat(blank, 0, 32)});
  const Expr some = g_.choice(
      {g_.sequence({g_.repeat(blank, 1, 32), g_.repeat(more, 0, 2)}), g_.repeat(more, 1, 2)});
  return g_.optional(shared(some));
}

Expr JsonGrammar::character() {
  if (character_ >= 0) return character_;
  const Expr hex = g_.bytes(hex_digits());
  const Expr low = g_.sequence(
      {g_.literal("\\u"), g_.bytes(one_of("dD")), g_.bytes(one_of("cdefCDEF")), hex, hex});
  const Expr escape = g_.choice({
      g_.sequence({g_.literal("\\"), g_.bytes(one_of("\"\\/bfnrt"))}),
      g_.sequence({g_.literal("\\u"), g_.bytes(hex_digits() & ~one_of("dD")), hex, hex, hex}),
      g_.sequence(
          {g_.literal("\\u"), g_.bytes(one_of("dD")), g_.bytes(one_of("01234567")), hex, hex}),
      // Surrogates in pairs only: alone they are no text.
      g_.sequence(
          {g_.literal("\\u"), g_.bytes(one_of("dD")), g_.bytes(one_of("89abAB")), hex, hex, low}),
  });
  // Escapes by a call: strings with a counted length repeat this, and few characters are escapes.
  character_ = g_.choice({g_.character(kPlainCharacters), shared(escape)});
  return character_;
}

Expr JsonGrammar::make_string() { return shared(string(0, std::nullopt)); }

Expr JsonGrammar::string(int64_t minimum, std::optional<int64_t> maximum) {
  return g_.sequence(
      {g_.literal("\""), g_.repeat(character(), minimum, maximum), g_.literal("\"")});
}

Expr JsonGrammar::digits(int64_t minimum) {
  return g_.repeat(g_.bytes(one_of("0123456789")), minimum, std::nullopt);
}

Expr JsonGrammar::make_integer() {
  return shared(g_.sequence(
      {g_.optional(g_.literal("-")),
       g_.choice({g_.literal("0"), g_.sequence({g_.bytes(one_of("123456789")), digits(0)})})}));
}

Expr JsonGrammar::make_number() {
  const Expr whole =
      g_.choice({g_.literal("0"), g_.sequence({g_.bytes(one_of("123456789")), digits(0)})});
  const Expr fraction = g_.sequence({g_.literal("."), digits(1)});
  const Expr exponent =
      g_.sequence({g_.bytes(one_of("eE")), g_.optional(g_.bytes(one_of("+-"))), digits(1)});
  return shared(g_.sequence(
      {g_.optional(g_.literal("-")), whole, g_.optional(fraction), g_.optional(exponent)}));
}

Expr JsonGrammar::boolean() { return g_.choice({g_.literal("true"), g_.literal("false")}); }
Expr JsonGrammar::null() { return g_.literal("null"); }

Expr JsonGrammar::separator() { return g_.sequence({g_.literal(","), space()}); }

Expr JsonGrammar::member(Expr key, Expr value) {
  return g_.sequence({key, space(), g_.literal(":"), space(), value, space()});
}

Expr JsonGrammar::braced(char open, Expr inside, char close) {
  return g_.sequence({g_.literal({&open, 1}), space(), inside, g_.literal({&close, 1})});
}

Expr JsonGrammar::value() {
  if (value_ < 0) {
    value_ = g_.declare();
    g_.define(value_, g_.choice({object(), array(), string(), number(), boolean(), null()}));
  }
  return g_.call(value_);
}

Expr JsonGrammar::object() {
  if (object_ < 0) {
    object_ = g_.declare();
    g_.define(object_, any_object());
  }
  return g_.call(object_);
}

Expr JsonGrammar::array() {
  if (array_ < 0) {
    array_ = g_.declare();
    g_.define(array_, any_array());
  }
  return g_.call(array_);
}

Expr JsonGrammar::any_object() {
  const Expr one = member(string(), value());
  const Expr more = g_.repeat(g_.sequence({separator(), one}), 0, std::nullopt);
  return braced('{', g_.optional(g_.sequence({one, more})), '}');
}

Expr JsonGrammar::any_array() {
  const Expr one = g_.sequence({value(), space()});
  const Expr more = g_.repeat(g_.sequence({separator(), one}), 0, std::nullopt);
  return braced('[', g_.optional(g_.sequence({one, more})), ']');
}

Expr JsonGrammar::constant(const Json& value) {
  std::vector<Expr> parts;
  if (value.is_array()) {
    for (const Json& item : value.items()) {
      if (!parts.empty()) parts.push_back(separator());
      parts.push_back(g_.sequence({constant(item), space()}));
    }
    return braced('[', g_.sequence(std::move(parts)), ']');
  }
  if (value.is_object()) {
    for (const auto& [key, item] : value.members()) {
      if (!parts.empty()) parts.push_back(separator());
      parts.push_back(member(constant(Json(key)), constant(item)));
    }
    return braced('{', g_.sequence(std::move(parts)), '}');
  }
  return g_.literal(value.dump());
}

Expr JsonGrammar::make_string_rest() {
  return shared(
      g_.sequence({g_.repeat(g_.character(kPlainCharacters), 0, std::nullopt), g_.literal("\"")}));
}

Expr JsonGrammar::other_key(std::vector<std::string> names) {
  std::vector<std::u32string> points;
  for (const std::string& name : names) points.push_back(code_points(name));
  std::sort(points.begin(), points.end());
  points.erase(std::unique(points.begin(), points.end()), points.end());
  return g_.sequence({g_.literal("\""), other_key_from(points, 0)});
}

// The rest of a key, when the first `depth` characters were those of all `names` (sorted).
Expr JsonGrammar::other_key_from(const std::vector<std::u32string>& names, size_t depth) {
  std::vector<Expr> ways;
  std::map<char32_t, std::vector<std::u32string>> longer;
  bool is_name = false;
  for (const std::u32string& name : names) {
    if (name.size() == depth) {
      is_name = true;
    } else {
      longer[name[depth]].push_back(name);
    }
  }
  if (!is_name) ways.push_back(g_.literal("\""));
  CodePoints used;
  for (const auto& [point, group] : longer) {
    used.emplace_back(point, point);
    const CodePoints one = {{point, point}};
    if (without(one, kPlainCharacters).empty())
      ways.push_back(g_.sequence({g_.character(one), other_key_from(group, depth + 1)}));
  }
  ways.push_back(g_.sequence({g_.character(without(kPlainCharacters, used)),
                              lazily(string_rest_, &JsonGrammar::make_string_rest)}));
  return g_.choice(std::move(ways));
}

}  // namespace sluice::chat::grammar
