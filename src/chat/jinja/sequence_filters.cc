// Filters on sequences and mappings.
#include <algorithm>

#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

void no_arguments(const char* filter, Arguments& arguments) {
  BoundArguments(filter, arguments, {});
}

// A generator whose body runs as a whole when its first item is asked for.
Value deferred(const Value& subject, std::function<std::vector<Value>()> body) {
  std::vector<Value> results;
  size_t position = 0;
  bool started = false;
  return Value::lazy({subject}, [=, body = std::move(body)](Value& item) mutable {
    if (!std::exchange(started, true)) results = body();
    if (position == results.size()) return false;
    item = std::move(results[position++]);
    return true;
  });
}

// "a.b.0" as an attribute path; digits are indices.
std::vector<Value> attribute_parts(const Value& attribute) {
  if (attribute.is_none()) return {};
  if (!attribute.is_string()) return {attribute};
  std::vector<Value> parts;
  std::string_view rest = attribute.view();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool index =
        !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    parts.push_back(index ? Value::integer_from_digits(part, false) : Value::string(part));
    if (dot == std::string_view::npos) return parts;
    rest.remove_prefix(dot + 1);
  }
}

Value follow(Interpreter& interpreter, Value item, const std::vector<Value>& parts,
             const Value* otherwise = nullptr) {
  for (const Value& part : parts) {
    interpreter.charge(1);
    item = get_item(interpreter, item, part);
    if (otherwise && !otherwise->is_none() && item.is_undefined()) item = *otherwise;
  }
  return item;
}

Value without_case(Interpreter& interpreter, const Value& value) {
  if (!value.is_string()) return value;
  interpreter.charge(value.text().size() / 16);
  interpreter.charge_memory(value.text().size());
  return Value::string(change_case(value.text(), Case::kLower));
}

// Sorts `order` stably by `before`, which may throw and need not be an order (NaN):
// std::stable_sort promises nothing then.
template <typename Before>
void merge_sort(std::vector<size_t>& order, Before&& before) {
  std::vector<size_t> merged(order.size());
  for (size_t width = 1; width < order.size(); width *= 2) {
    for (size_t begin = 0; begin < order.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, order.size()),
                   end = std::min(begin + 2 * width, order.size());
      size_t left = begin, right = middle;
      for (size_t out = begin; out < end; ++out) {
        const bool take_right =
            left == middle || (right < end && before(order[right], order[left]));
        merged[out] = order[take_right ? right++ : left++];
      }
    }
    order.swap(merged);
  }
}

// The items in the order of their keys.
std::vector<Value> sorted(Interpreter& interpreter, const std::vector<Value>& items,
                          const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  // Reversed twice keeps equal items in their order, as in Python.
  if (reverse) std::reverse(order.begin(), order.end());
  merge_sort(order, [&](size_t a, size_t b) {
    interpreter.charge(std::min(keys[a].weight(), keys[b].weight()));
    return compare(keys[a], keys[b], "<") < 0;
  });
  if (reverse) std::reverse(order.begin(), order.end());
  std::vector<Value> result;
  for (const size_t i : order) result.push_back(items[i]);
  return result;
}

Value length(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("len", arguments);
  if (subject.is_string()) interpreter.charge_text(subject.text().size());
  return Value::integer(length_of(subject));
}

Value default_value(Interpreter&, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_default", arguments, {"default_value", "boolean"});
  if (subject.is_undefined() || (bound.truth(1, false) && !truthy(subject))) {
    return bound.or_else(0, Value::string(Text()));
  }
  return subject;
}

Value items(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_items", arguments);
  return deferred(subject, [&interpreter, subject] {
    std::vector<Value> pairs;
    if (subject.is_undefined()) return pairs;
    if (!subject.is(Kind::kDict)) type_error("Can only get item pairs from a mapping.");
    const auto& members = subject.as<Dict>().members;
    interpreter.charge(members.size());
    interpreter.charge_memory(members.size() * 3 * sizeof(Value));
    for (const auto& [key, value] : members) pairs.push_back(Value::tuple({key, value}));
    return pairs;
  });
}

Value list(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_list", arguments);
  Value made = interpreter.new_list(interpreter.items_of(subject));
  made.mark_data(subject.from_data());
  return made;
}

Value first(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_first", arguments);
  if (subject.is_string() && !subject.text().empty())
    return Value::string(get_item(interpreter, subject, Value::integer(0)).text());
  if (Value item; subject.is(Kind::kIterator)) {
    return subject.as<Sequence>().next(item) ? item
                                             : undefined_hint("No first item, sequence was empty.");
  }
  const std::vector<Value> all = interpreter.items_of(subject);
  return all.empty() ? undefined_hint("No first item, sequence was empty.") : all.front();
}

Value last(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_last", arguments);
  if (subject.is(Kind::kIterator) ||
      (!subject.is_undefined() && !subject.is_string() && subject.kind() < Kind::kList)) {
    type_error("'{}' object is not reversible", subject.type_name());
  }
  if (subject.is_string() && !subject.text().empty())
    return Value::string(get_item(interpreter, subject, Value::integer(-1)).text());
  const std::vector<Value> all = interpreter.items_of(subject);
  return all.empty() ? undefined_hint("No last item, sequence was empty.") : all.back();
}

Value reverse(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_reverse", arguments);
  if (subject.is_string()) {
    return get_slice(interpreter, subject, Value::none(), Value::none(), Value::integer(-1));
  }
  if (!subject.is_undefined() &&
      (subject.kind() < Kind::kList || subject.kind() > Kind::kIterator)) {
    raise("FilterArgumentError", "argument must be iterable");
  }
  std::vector<Value> all = interpreter.items_of(subject);
  std::reverse(all.begin(), all.end());
  // A generator cannot be reversed in Python; Jinja2 makes a list of it.
  return interpreter.new_list(std::move(all),
                              subject.is(Kind::kIterator) ? Kind::kList : Kind::kIterator);
}

Value join(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_join", arguments, {"d", "attribute"});
  const std::vector<Value> path =
      bound.given(1) ? attribute_parts(bound.at(1)) : std::vector<Value>();
  std::vector<Text> parts;
  for (const Value& item : interpreter.items_of(subject)) {
    parts.push_back(interpreter.text_of(follow(interpreter, item, path)));
  }
  const Text separator = bound.has(0) ? interpreter.text_of(bound.at(0)) : Text();
  return Value::string(join_text(interpreter, separator, parts));
}

Value sort(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool case_sensitive = bound.truth(1, false);
  // Several attributes with commas between them.
  std::vector<std::vector<Value>> paths;
  if (bound.has(2) && bound.at(2).is_string()) {
    std::string_view rest = bound.at(2).view();
    for (size_t comma; (comma = rest.find(',')) != std::string_view::npos;
         rest.remove_prefix(comma + 1)) {
      paths.push_back(attribute_parts(Value::string(rest.substr(0, comma))));
    }
    paths.push_back(attribute_parts(Value::string(rest)));
  } else {
    paths.push_back(bound.has(2) ? attribute_parts(bound.at(2)) : std::vector<Value>());
  }
  const std::vector<Value> all = interpreter.items_of(subject);
  std::vector<Value> keys;
  for (const Value& item : all) {
    std::vector<Value> key;
    for (const auto& path : paths) {
      const Value part = follow(interpreter, item, path);
      key.push_back(case_sensitive ? part : without_case(interpreter, part));
    }
    keys.push_back(Value::list(std::move(key)));
  }
  return interpreter.new_list(sorted(interpreter, all, keys, bound.truth(0, false)));
}

Value dict_sort(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by(bound.has(1) ? interpreter.text_of(bound.at(1)).view() : "key");
  if (by != "key" && by != "value") {
    raise("FilterArgumentError", "You can only sort by either \"key\" or \"value\"");
  }
  require_defined(subject);
  if (!subject.is(Kind::kDict)) {
    raise("AttributeError", "'{}' object has no attribute 'items'", subject.type_name());
  }
  std::vector<Value> pairs, keys;
  for (const auto& [key, value] : subject.as<Dict>().members) {
    pairs.push_back(Value::tuple({key, value}));
    const Value& chosen = by == "key" ? key : value;
    keys.push_back(bound.truth(0, false) ? chosen : without_case(interpreter, chosen));
  }
  return interpreter.new_list(sorted(interpreter, pairs, keys, bound.truth(2, false)));
}

std::vector<Value> unique_items(Interpreter& interpreter, const Value& subject,
                                Arguments& arguments) {
  const BoundArguments bound("do_unique", arguments, {"case_sensitive", "attribute"});
  const std::vector<Value> path =
      bound.given(1) ? attribute_parts(bound.at(1)) : std::vector<Value>();
  Dict seen;
  std::vector<Value> kept;
  for (const Value& item : interpreter.items_of(subject)) {
    Value key = follow(interpreter, item, path);
    if (!bound.truth(0, false)) key = without_case(interpreter, key);
    if (!key.is_string()) interpreter.charge(seen.members.size());
    if (seen.find(key)) continue;
    seen.members.emplace_back(std::move(key), Value());
    kept.push_back(item);
  }
  return kept;
}
Value unique(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  return deferred(subject, [&interpreter, subject, arguments]() mutable {
    return unique_items(interpreter, subject, arguments);
  });
}

Value extreme(Interpreter& interpreter, const Value& subject, Arguments& arguments, bool want_max) {
  const BoundArguments bound(want_max ? "do_max" : "do_min", arguments,
                             {"case_sensitive", "attribute"});
  const std::vector<Value> path =
      bound.given(1) ? attribute_parts(bound.at(1)) : std::vector<Value>();
  const std::vector<Value> all = interpreter.items_of(subject);
  if (all.empty()) return undefined_hint("No aggregated item, sequence was empty.");
  size_t best = 0;
  Value best_key;
  for (size_t i = 0; i < all.size(); ++i) {
    Value key = follow(interpreter, all[i], path);
    if (!bound.truth(0, false)) key = without_case(interpreter, key);
    interpreter.charge(key.weight());
    const bool better =
        i == 0 || (want_max ? compare(key, best_key, ">") > 0 : compare(key, best_key, "<") < 0);
    if (!better) continue;
    best = i;
    best_key = std::move(key);
  }
  return all[best];
}
Value minimum(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  return extreme(interpreter, subject, arguments, false);
}
Value maximum(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  return extreme(interpreter, subject, arguments, true);
}

Value sum(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_sum", arguments, {"attribute", "start"});
  const std::vector<Value> path =
      bound.given(0) ? attribute_parts(bound.at(0)) : std::vector<Value>();
  Value total = bound.or_else(1, Value::integer(0));
  if (total.is_string()) type_error("sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : interpreter.items_of(subject)) {
    total = binary_operation(interpreter, Operator::kAdd, total, follow(interpreter, item, path));
  }
  return total;
}

std::vector<Value> batches_of(Interpreter& interpreter, const Value& subject,
                              Arguments& arguments) {
  const BoundArguments bound("do_batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t width = bound.integer(0, 1);
  std::vector<Value> batches, current;
  for (Value& item : interpreter.items_of(subject)) {
    if (static_cast<int64_t>(current.size()) == width)
      batches.push_back(interpreter.new_list(std::exchange(current, {})));
    current.push_back(std::move(item));
  }
  if (!current.empty()) {
    if (bound.given(1)) {
      while (static_cast<int64_t>(current.size()) < width) {
        interpreter.charge(1);
        current.push_back(bound.at(1));
      }
    }
    batches.push_back(interpreter.new_list(std::move(current)));
  }
  return batches;
}
Value batch(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  return deferred(subject, [&interpreter, subject, arguments]() mutable {
    return batches_of(interpreter, subject, arguments);
  });
}

std::vector<Value> slices_of(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_slice", arguments, {"slices", "fill_with"}, 1);
  const std::vector<Value> all = interpreter.items_of(subject);
  const int64_t slices = bound.integer(0, 1), size = static_cast<int64_t>(all.size());
  if (slices == 0) raise("ZeroDivisionError", "integer division or modulo by zero");
  std::vector<Value> result;
  const int64_t per_slice = slices > 0 ? size / slices : 0,
                with_extra = slices > 0 ? size % slices : 0;
  for (int64_t i = 0, begin = 0; i < slices; ++i) {
    interpreter.charge(1);
    const int64_t end = begin + per_slice + (i < with_extra ? 1 : 0);
    std::vector<Value> part(all.begin() + begin, all.begin() + end);
    if (bound.given(1) && i >= with_extra) part.push_back(bound.at(1));
    result.push_back(interpreter.new_list(std::move(part)));
    begin = end;
  }
  return result;
}
Value slice(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  return deferred(subject, [&interpreter, subject, arguments]() mutable {
    return slices_of(interpreter, subject, arguments);
  });
}

Value group_by(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_groupby", arguments, {"attribute", "default", "case_sensitive"},
                             1);
  const std::vector<Value> path = attribute_parts(bound.at(0));
  const Value otherwise = bound.or_else(1, Value::none());
  const std::vector<Value> all = interpreter.items_of(subject);
  std::vector<Value> keys;
  for (const Value& item : all) {
    const Value key = follow(interpreter, item, path, &otherwise);
    keys.push_back(bound.truth(2, false) ? key : without_case(interpreter, key));
  }
  // Sorted positions: equal keys are neighbours, each group in the order of the input.
  std::vector<Value> positions;
  for (size_t i = 0; i < all.size(); ++i)
    positions.push_back(Value::integer(static_cast<int64_t>(i)));
  std::vector<Value> groups, group;
  positions = sorted(interpreter, positions, keys, false);
  for (size_t i = 0; i < positions.size(); ++i) {
    const auto at = static_cast<size_t>(positions[i].as_integer());
    group.push_back(all[at]);
    const bool ends =
        i + 1 == positions.size() ||
        !interpreter.equal(keys[at], keys[static_cast<size_t>(positions[i + 1].as_integer())]);
    if (!ends) continue;
    // The group's name is that of its first item, in its own case.
    const Value name =
        bound.truth(2, false) ? keys[at] : follow(interpreter, group.front(), path, &otherwise);
    groups.push_back(Value::tuple({name, interpreter.new_list(std::exchange(group, {}))}));
  }
  return interpreter.new_list(std::move(groups));
}

Value attribute(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_attr", arguments, {"name"}, 1);
  require_defined(subject);
  if (!bound.at(0).is_string())
    type_error("attribute name must be string, not '{}'", bound.at(0).type_name());
  // Attributes only: an element of a dict does not count.
  if (subject.is(Kind::kDict) &&
      method_access(subject, bound.at(0).view()) == MethodAccess::kNone) {
    return undefined_attribute(subject, bound.at(0));
  }
  return get_attribute(interpreter, subject, bound.at(0));
}

// The items of a sequence, pulled one by one, so that what is never asked for never fails.
std::function<bool(Value&)> cursor(Interpreter& interpreter, const Value& subject) {
  Value source;
  return [&interpreter, subject, source](Value& item) mutable {
    if (source.is_undefined()) {
      source =
          subject.is(Kind::kIterator) ? subject : Value::iterator(interpreter.items_of(subject));
    }
    interpreter.charge(1);
    return source.as<Sequence>().next(item);
  };
}

using Change = std::function<Value(Value)>;

// What map does with each item.
Change prepare_map(Interpreter& interpreter, const Arguments& arguments) {
  const Value *attribute = nullptr, *otherwise = nullptr;
  for (const auto& [name, value] : arguments.keyword) {
    if (name == "attribute") attribute = &value;
    if (name == "default") otherwise = &value;
  }
  if (arguments.positional.empty() && attribute) {
    for (const auto& [name, value] : arguments.keyword) {
      if (name == "attribute" || name == "default") continue;
      raise("FilterArgumentError", "Unexpected keyword argument {}", quoted(name));
    }
    return [&interpreter, path = attribute_parts(*attribute),
            fallback = otherwise ? *otherwise : Value::none()](Value item) {
      return follow(interpreter, std::move(item), path, &fallback);
    };
  }
  if (arguments.positional.empty()) raise("FilterArgumentError", "map requires a filter argument");
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + 1, arguments.positional.end());
  rest.keyword = arguments.keyword;
  return [&interpreter, name = interpreter.text_of(arguments.positional[0]), rest](Value item) {
    Arguments copy = rest;  // a filter may take them apart
    return interpreter.apply_filter(name.view(), item, copy);
  };
}

Value map(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  if (!truthy(subject)) return Value::iterator({});
  Change change;
  return Value::lazy({subject}, [&interpreter, arguments, change,
                                 next = cursor(interpreter, subject)](Value& item) mutable {
    if (!change) change = prepare_map(interpreter, arguments);
    if (!next(item)) return false;
    item = change(std::move(item));
    return true;
  });
}

using Condition = std::function<bool(const Value&)>;

// What select and reject ask of each item: the test by its name, or its truth; of an attribute of
// it or of itself.
Condition prepare_select(Interpreter& interpreter, const Arguments& arguments, bool by_attribute) {
  const auto& positional = arguments.positional;
  if (by_attribute && positional.empty()) {
    raise("FilterArgumentError", "Missing parameter for attribute name");
  }
  const std::vector<Value> path =
      by_attribute ? attribute_parts(positional[0]) : std::vector<Value>();
  const size_t test = by_attribute ? 1 : 0;
  if (positional.size() <= test) {
    return
        [&interpreter, path](const Value& item) { return truthy(follow(interpreter, item, path)); };
  }
  Arguments rest;
  rest.positional.assign(positional.begin() + static_cast<std::ptrdiff_t>(test) + 1,
                         positional.end());
  rest.keyword = arguments.keyword;
  return
      [&interpreter, path, name = interpreter.text_of(positional[test]), rest](const Value& item) {
        Arguments copy = rest;
        return interpreter.apply_test(name.view(), follow(interpreter, item, path), copy);
      };
}

// select, reject and their forms by attribute: the items of which the condition is `wanted`.
template <bool wanted, bool by_attribute>
Value choose(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  if (!truthy(subject)) return Value::iterator({});
  Condition holds;
  return Value::lazy({subject}, [&interpreter, arguments, holds,
                                 next = cursor(interpreter, subject)](Value& item) mutable {
    if (!holds) holds = prepare_select(interpreter, arguments, by_attribute);
    while (next(item)) {
      if (holds(item) == wanted) return true;
    }
    return false;
  });
}

constexpr Filter kFilters[] = {
    {"attr", attribute},
    {"batch", batch},
    {"count", length},
    {"d", default_value},
    {"default", default_value},
    {"dictsort", dict_sort},
    {"first", first},
    {"groupby", group_by},
    {"items", items},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list},
    {"map", map},
    {"max", maximum},
    {"min", minimum},
    {"reject", choose<false, false>},
    {"rejectattr", choose<false, true>},
    {"reverse", reverse},
    {"select", choose<true, false>},
    {"selectattr", choose<true, true>},
    {"slice", slice},
    {"sort", sort},
    {"sum", sum},
    {"unique", unique},
};

}  // namespace

std::span<const Filter> sequence_filters() { return kFilters; }

}  // namespace sluice::chat::jinja
