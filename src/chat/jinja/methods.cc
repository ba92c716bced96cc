#include "chat/jinja/methods.h"

#include <algorithm>
#include <array>

#include "chat/jinja/error.h"

namespace sluice::chat::jinja {
namespace {

// All public attributes of Python's types, whether call_method() knows them or not: an attribute
// hides an element of the same name, and `is defined` sees it.
constexpr std::string_view kDictSafe[] = {"items", "keys", "values", "get", "copy", "fromkeys"};
constexpr std::string_view kDictUnsafe[] = {"clear", "pop", "popitem", "setdefault", "update"};
constexpr std::string_view kListSafe[] = {"index", "count", "copy"};
constexpr std::string_view kListUnsafe[] = {"append", "clear", "pop",    "reverse",
                                            "insert", "sort",  "extend", "remove"};
constexpr std::string_view kTupleSafe[] = {"index", "count"};
constexpr std::string_view kTextSafe[] = {
    "capitalize",   "casefold",    "center",    "count",      "encode",       "endswith",
    "expandtabs",   "find",        "format",    "format_map", "index",        "isalnum",
    "isalpha",      "isascii",     "isdecimal", "isdigit",    "isidentifier", "islower",
    "isnumeric",    "isprintable", "isspace",   "istitle",    "isupper",      "join",
    "ljust",        "lower",       "lstrip",    "maketrans",  "partition",    "removeprefix",
    "removesuffix", "replace",     "rfind",     "rindex",     "rjust",        "rpartition",
    "rsplit",       "rstrip",      "split",     "splitlines", "startswith",   "strip",
    "swapcase",     "title",       "translate", "upper",      "zfill"};

template <size_t N>
bool among(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

Value dict_method(Interpreter& interpreter, const Value& self, std::string_view name,
                  Arguments& arguments) {
  const auto& dict = self.as<Dict>();
  if (name == "get") {
    BoundArguments bound("get", arguments, {"key", "default"}, 1);
    if (!bound.at(0).is_string()) interpreter.charge(dict.members.size());
    const Value* value = dict.find(bound.at(0));
    return value ? *value : bound.or_else(1, Value::none());
  }
  BoundArguments none(std::string(name).c_str(), arguments, {});
  if (name == "copy") return self;
  if (name == "fromkeys") raise("Unsupported", "the method 'fromkeys' of dict is not supported");
  interpreter.charge(dict.members.size());
  interpreter.charge_memory(dict.members.size() * sizeof(Value));
  std::vector<Value> items;
  for (const auto& [key, value] : dict.members) {
    if (name == "keys") {
      items.push_back(key);
    } else if (name == "values") {
      items.push_back(value);
    } else {
      items.push_back(Value::tuple({key, value}));
    }
  }
  Value view = Value::sequence(Kind::kView, std::move(items), "dict_" + std::string(name));
  view.mark_data(self.from_data());
  return view;
}

Value sequence_method(Interpreter& interpreter, const Value& self, std::string_view name,
                      Arguments& arguments) {
  const auto& items = self.as<Sequence>().items;
  if (name == "copy") {
    BoundArguments none("copy", arguments, {});
    return self;
  }
  const std::string function(name);
  BoundArguments bound(function.c_str(), arguments, {"value", "start", "stop"}, 1);
  if (name == "count") {
    int64_t count = 0;
    for (const Value& item : items) count += interpreter.equal(item, bound.at(0));
    return Value::integer(count);
  }
  const auto size = static_cast<int64_t>(items.size());
  const auto place = [&](int64_t index) {
    return std::clamp<int64_t>(index < 0 ? index + size : index, 0, size);
  };
  const int64_t end = place(bound.integer(2, size));
  for (int64_t i = place(bound.integer(1, 0)); i < end; ++i) {
    if (interpreter.equal(items[static_cast<size_t>(i)], bound.at(0))) return Value::integer(i);
  }
  if (self.is(Kind::kTuple)) value_error("tuple.index(x): x not in tuple");
  value_error("{} is not in list", interpreter.text_of(bound.at(0)).view());
}

Value cycler_method(const Value& self, std::string_view name, Arguments& arguments) {
  BoundArguments none("next", arguments, {});
  auto& cycler = self.as<CyclerObject>();
  if (name == "reset") {
    cycler.position = 0;
    return Value::none();
  }
  Value value = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return value;
}

Value loop_method(Interpreter& interpreter, const Value& self, std::string_view name,
                  Arguments& arguments) {
  auto& loop = self.as<LoopObject>();
  const auto& values = arguments.positional;
  if (name == "cycle") {
    if (values.empty()) type_error("no items for cycling given");
    return values[static_cast<size_t>(loop.index0) % values.size()];
  }
  bool same = loop.last_changed && loop.last_changed->size() == values.size();
  for (size_t i = 0; same && i < values.size(); ++i)
    same = interpreter.equal(values[i], (*loop.last_changed)[i]);
  if (!same) {
    // The values may hold the loop itself through a namespace; those are emptied at the end.
    loop.last_changed = values;
  }
  return Value::boolean(!same);
}

}  // namespace

MethodAccess method_access(const Value& owner, std::string_view name) {
  bool safe = false, unsafe = false;
  switch (owner.kind()) {
    case Kind::kString:
      safe = among(kTextSafe, name);
      break;
    case Kind::kDict:
      safe = among(kDictSafe, name);
      unsafe = among(kDictUnsafe, name);
      break;
    case Kind::kList:
      safe = among(kListSafe, name);
      unsafe = among(kListUnsafe, name);
      break;
    case Kind::kTuple:
    case Kind::kRange:
      safe = among(kTupleSafe, name);
      break;
    case Kind::kCycler:
      safe = name == "next" || name == "reset";
      break;
    case Kind::kLoop:
      safe = name == "cycle" || name == "changed";
      break;
    default:
      break;
  }
  return safe ? MethodAccess::kSafe : unsafe ? MethodAccess::kUnsafe : MethodAccess::kNone;
}

Value call_method(Interpreter& interpreter, const Value& self, std::string_view name,
                  Arguments& arguments) {
  switch (self.kind()) {
    case Kind::kString:
      return call_text_method(interpreter, self, name, arguments);
    case Kind::kDict:
      return dict_method(interpreter, self, name, arguments);
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      return sequence_method(interpreter, self, name, arguments);
    case Kind::kCycler:
      return cycler_method(self, name, arguments);
    default:
      return loop_method(interpreter, self, name, arguments);
  }
}

}  // namespace sluice::chat::jinja
