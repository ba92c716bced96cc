// Filters on sequences and mappings that give their result at once.
#include <algorithm>

#include "chat/jinja/attribute_path.h"
#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

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

constexpr Filter kSequenceFilters[] = {
    {"attr", attribute},     {"count", length},
    {"d", default_value},    {"default", default_value},
    {"dictsort", dict_sort}, {"first", first},
    {"groupby", group_by},   {"join", join},
    {"last", last},          {"length", length},
    {"list", list},          {"max", maximum},
    {"min", minimum},        {"reverse", reverse},
    {"sort", sort},          {"sum", sum},
};

}  // namespace

std::span<const Filter> sequence_filters() { return kSequenceFilters; }

}  // namespace sluice::chat::jinja
