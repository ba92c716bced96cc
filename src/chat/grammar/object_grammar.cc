#include "chat/grammar/object_grammar.h"

#include <algorithm>

namespace sluice::chat::grammar {

// A comma stands before every member but the one that comes first, and which one that is is open as
// long as members may be left out. So: for each member that can be the first, it and what may
// follow.
Expr object_of(Expressions& g, JsonGrammar& json, const ObjectParts& parts) {
  const auto after_comma = [&](Expr member) { return g.sequence({json.separator(), member}); };
  // following[i]: the members from i on, each with its comma.
  std::vector<Expr> following(parts.members.size() + 1);
  following.back() =
      parts.others ? g.repeat(after_comma(*parts.others), 0, std::nullopt) : g.empty();
  for (size_t i = parts.members.size(); i-- > 0;) {
    const Expr member = after_comma(parts.members[i].text);
    following[i] =
        g.sequence({parts.members[i].required ? member : g.optional(member), following[i + 1]});
  }
  std::vector<Expr> ways;
  bool all_optional = true;
  for (size_t i = 0; i < parts.members.size() && all_optional; ++i) {
    ways.push_back(g.sequence({parts.members[i].text, following[i + 1]}));
    all_optional = !parts.members[i].required;
  }
  if (all_optional) {
    if (parts.others) ways.push_back(g.sequence({*parts.others, following.back()}));
    ways.push_back(g.empty());
  }
  return json.braced('{', g.choice(std::move(ways)), '}');
}

Expr array_of(Expressions& g, JsonGrammar& json, const ArrayParts& parts) {
  const auto places = static_cast<int64_t>(parts.first.size());
  if (parts.maximum && *parts.maximum < parts.minimum) return g.never();
  const auto item = [&](Expr value) { return g.sequence({value, json.space()}); };
  const auto with_comma = [&](int64_t place, Expr value) {
    return place == 0 ? item(value) : g.sequence({json.separator(), item(value)});
  };
  // Items after those with a place of their own; the first of all has no comma.
  const int64_t least = std::max<int64_t>(0, parts.minimum - places);
  std::optional<int64_t> most;
  if (parts.maximum) most = std::max<int64_t>(0, *parts.maximum - places);
  Expr rest = g.empty();
  if (!most || *most > 0) {
    const Expr other = item(parts.others), more = g.sequence({json.separator(), other});
    if (places > 0) {
      rest = g.repeat(more, least, most);
    } else {
      if (most) --*most;
      rest = g.sequence({other, g.repeat(more, std::max<int64_t>(0, least - 1), most)});
      if (least == 0) rest = g.optional(rest);
    }
  }
  const int64_t used = parts.maximum ? std::min(places, *parts.maximum) : places;
  for (int64_t i = used; i-- > 0;) {
    rest = g.sequence({with_comma(i, parts.first[static_cast<size_t>(i)]), rest});
    if (i >= parts.minimum) rest = g.optional(rest);
  }
  return json.braced('[', rest, ']');
}

}  // namespace sluice::chat::grammar
