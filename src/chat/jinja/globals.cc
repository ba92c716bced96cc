#include "chat/jinja/globals.h"

#include "chat/jinja/error.h"
#include "chat/jinja/print.h"

namespace sluice::chat::jinja {
namespace {

constexpr uint64_t kMaxRange = 100'000;  // the sandbox's own bound

Value range(Interpreter& interpreter, Arguments& arguments) {
  const BoundArguments bound("range", arguments, {"start", "stop", "step"}, 1);
  const bool one = !bound.has(1);
  const int64_t start = one ? 0 : bound.integer(0, 0),
                stop = one ? bound.integer(0, 0) : bound.integer(1, 0);
  const int64_t step = bound.integer(2, 1);
  if (step == 0) value_error("range() arg 3 must not be zero");
  // Unsigned: the ends may be the ends of int64.
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  const uint64_t low = static_cast<uint64_t>(step > 0 ? start : stop),
                 high = static_cast<uint64_t>(step > 0 ? stop : start);
  const bool empty = step > 0 ? start >= stop : start <= stop;
  const uint64_t count = empty ? 0 : (high - low - 1) / stride + 1;
  if (count > kMaxRange) {
    raise("OverflowError", "Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).",
          kMaxRange);
  }
  interpreter.charge(count);
  interpreter.charge_memory(count * sizeof(Value));
  std::vector<Value> items;
  for (int64_t i = 0; i < static_cast<int64_t>(count); ++i)
    items.push_back(Value::integer(start + i * step));
  const std::string label = step == 1 ? fmt::format("range({}, {})", start, stop)
                                      : fmt::format("range({}, {}, {})", start, stop, step);
  return Value::sequence(Kind::kRange, std::move(items), label);
}

// Members of dict(mapping or pairs, name=value ...), as dict and namespace take them.
Value dict(Interpreter& interpreter, Arguments& arguments) {
  if (arguments.positional.size() > 1) {
    type_error("dict expected at most 1 argument, got {}", arguments.positional.size());
  }
  auto made = std::make_shared<Dict>();
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Kind::kDict)) {
      interpreter.charge(source.as<Dict>().members.size());
      for (const auto& [key, value] : source.as<Dict>().members)
        made->members.emplace_back(key, value);
    } else {
      for (const Value& pair : interpreter.items_of(source)) {
        const std::vector<Value> parts = interpreter.items_of(pair);
        if (parts.size() != 2) {
          value_error("dictionary update sequence element #{} has length {}; 2 is required",
                      made->members.size(), parts.size());
        }
        interpreter.charge(parts[0].is_string() ? 1 : made->members.size());
        made->set(parts[0], parts[1]);
      }
    }
  }
  for (auto& [name, value] : arguments.keyword) made->set(Value::string(name), std::move(value));
  interpreter.charge_memory(made->members.size() * 2 * sizeof(Value));
  return Value::object(Kind::kDict, std::move(made));
}

Value name_space(Interpreter& interpreter, Arguments& arguments) {
  const Value members = dict(interpreter, arguments);
  Value made = interpreter.new_namespace();
  for (const auto& [name, value] : members.as<Dict>().members) {
    if (name.is_string()) made.as<NamespaceObject>().set(name.view(), value);
  }
  return made;
}

Value cycler(Interpreter&, Arguments& arguments) {
  if (!arguments.keyword.empty())
    type_error("cycler() got an unexpected keyword argument '{}'", arguments.keyword[0].first);
  if (arguments.positional.empty()) raise("RuntimeError", "at least one item has to be provided");
  auto made = std::make_shared<CyclerObject>();
  made->items = arguments.positional;
  return Value::object(Kind::kCycler, std::move(made));
}

Value joiner(Interpreter&, Arguments& arguments) {
  const BoundArguments bound("joiner", arguments, {"sep"});
  auto made = std::make_shared<JoinerObject>();
  made->separator = bound.or_else(0, Value::string(", "));
  return Value::object(Kind::kJoiner, std::move(made));
}

Value raise_exception(Interpreter& interpreter, Arguments& arguments) {
  const BoundArguments bound("raise_exception", arguments, {"message"}, 1);
  const Value& message = bound.at(0);
  throw JinjaError("TemplateError",
                   message.is_none() ? "" : std::string(interpreter.text_of(message).view()));
}

Value strftime_now(Interpreter& interpreter, Arguments& arguments) {
  const BoundArguments bound("strftime_now", arguments, {"format"}, 1);
  if (!bound.at(0).is_string())
    type_error("strftime() argument 1 must be str, not {}", bound.at(0).type_name());
  const std::string format(bound.at(0).view());
  if (format.empty()) return Value::string(Text());
  if (format.size() > 1000) value_error("a time format of {} bytes", format.size());
  // strftime cannot say "too small" apart from "empty result": a blank more makes the result
  // non-empty.
  std::string text(format.size() * 64 + 64, '\0');
  text.resize(std::strftime(text.data(), text.size(), (format + " ").c_str(), &interpreter.now()));
  if (!text.empty()) text.pop_back();
  return interpreter.new_text(Text(text, bound.at(0).text().has_data()));
}

struct Global {
  const char* name;
  Value (*call)(Interpreter&, Arguments&);
};
constexpr Global kGlobals[] = {
    {"cycler", cycler},
    {"dict", dict},
    {"joiner", joiner},
    {"namespace", name_space},
    {"raise_exception", raise_exception},
    {"range", range},
    {"strftime_now", strftime_now},
};

}  // namespace

Value find_global(std::string_view name) {
  for (const Global& global : kGlobals) {
    if (name != global.name) continue;
    auto function = std::make_shared<FunctionObject>();
    function->name = global.name;
    function->call = global.call;
    return Value::object(Kind::kFunction, std::move(function));
  }
  return {};
}

}  // namespace sluice::chat::jinja
