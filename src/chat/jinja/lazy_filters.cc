// Filters that are generators in Python: they do their work, and fail, when their items are asked
// for.
#include <functional>
#include <utility>

#include "chat/jinja/attribute_path.h"
#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/print.h"

namespace sluice::chat::jinja {
namespace {

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

Value items(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  BoundArguments("do_items", arguments, {});
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
      raise("FilterArgumentError", "Unexpected keyword argument {}", python_quoted(name));
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

constexpr Filter kLazyFilters[] = {
    {"batch", batch},
    {"items", items},
    {"map", map},
    {"reject", choose<false, false>},
    {"rejectattr", choose<false, true>},
    {"select", choose<true, false>},
    {"selectattr", choose<true, true>},
    {"slice", slice},
    {"unique", unique},
};

}  // namespace

std::span<const Filter> lazy_filters() { return kLazyFilters; }

}  // namespace sluice::chat::jinja
