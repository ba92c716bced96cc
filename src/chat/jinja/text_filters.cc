// Filters on texts, and tojson.
#include <algorithm>

#include "chat/jinja/error.h"
#include "chat/jinja/filters.h"
#include "chat/jinja/format.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/print.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

// soft_str: a text stays what it is, Markup too.
Value soft_text(Interpreter& interpreter, const Value& value) {
  return value.is_string() ? value : Value::string(interpreter.text_of(value));
}
Value like(const Value& original, Text text) {
  return original.is_markup() ? Value::markup(std::move(text)) : Value::string(std::move(text));
}

Value trim(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_trim", arguments, {"chars"});
  const Value text = soft_text(interpreter, subject);
  interpreter.charge_text(text.text().size());
  if (bound.given(0) && !bound.at(0).is_string()) type_error("strip arg must be None or str");
  return strip_text(text, bound.given(0) ? &bound.at(0) : nullptr, StripSide::kBoth);
}

Value string(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("soft_str", arguments);
  return soft_text(interpreter, subject);
}

Value safe(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_mark_safe", arguments);
  return Value::markup(interpreter.text_of(subject));
}

Value escape(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("escape", arguments);
  if (subject.is_markup()) return subject;
  const Text text = escape_html(interpreter.text_of(subject));
  interpreter.charge_memory(text.size());
  return Value::markup(text);
}

Value force_escape(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_forceescape", arguments);
  const Text text = escape_html(interpreter.text_of(subject));
  interpreter.charge_memory(text.size());
  return Value::markup(text);
}

Value in_case(Interpreter& interpreter, const Value& subject, Case to) {
  const Value text = soft_text(interpreter, subject);
  interpreter.charge(text.text().size() / 16);
  interpreter.charge_memory(text.text().size());
  return like(text, change_case(text.text(), to));
}
Value upper(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_upper", arguments);
  return in_case(interpreter, subject, Case::kUpper);
}
Value lower(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_lower", arguments);
  return in_case(interpreter, subject, Case::kLower);
}
Value capitalized(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_capitalize", arguments);
  const Value text = soft_text(interpreter, subject);
  interpreter.charge(text.text().size() / 16);
  return like(text, capitalize(text.text()));
}

// Unlike str.title, a word begins only after white space and - ( { [ <.
Value title(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_title", arguments);
  const Text text = interpreter.text_of(subject);
  const std::string_view all = text.view();
  const auto separates = [](char32_t c) {
    return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  interpreter.charge(all.size() / 16);
  TextBuilder builder;
  for (size_t at = 0; at < all.size();) {
    size_t end = at;
    const bool separator = separates(character_at(all, at).code_point);
    while (end < all.size() && separates(character_at(all, end).code_point) == separator) {
      end += character_at(all, end).size;
    }
    const size_t head = at + character_at(all, at).size;
    builder.append(change_case(text.slice(at, head), Case::kUpper));
    builder.append(change_case(text.slice(head, end), Case::kLower));
    at = end;
  }
  return Value::string(builder.finish());
}

Value replace(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_replace", arguments, {"old", "new", "count"}, 2);
  const Text old = interpreter.text_of(bound.at(0));
  const int64_t count = bound.given(2) ? bound.integer(2, -1) : -1;
  return interpreter.new_text(replace_text(interpreter, interpreter.text_of(subject), old.view(),
                                           interpreter.text_of(bound.at(1)), count));
}

Value format(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keyword.empty()) {
    raise("FilterArgumentError", "can't handle positional and keyword arguments at the same time");
  }
  Value values;
  if (arguments.keyword.empty()) {
    values = Value::tuple(arguments.positional);
  } else {
    auto dict = std::make_shared<Dict>();
    for (auto& [name, value] : arguments.keyword) dict->set(Value::string(name), std::move(value));
    values = Value::object(Kind::kDict, std::move(dict));
  }
  return interpreter.new_text(format_percent(interpreter, interpreter.text_of(subject), values));
}

Value indent(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_indent", arguments, {"width", "first", "blank"});
  require_defined(subject);
  if (subject.is(Kind::kList)) {
    raise("AttributeError", "'list' object has no attribute 'splitlines'");
  }
  if (!subject.is_string())
    type_error("unsupported operand type(s) for +=: '{}' and 'str'", subject.type_name());
  Text indention;
  if (bound.has(0) && bound.at(0).is_string()) {
    indention = bound.at(0).text();
  } else {
    const auto width = static_cast<uint64_t>(std::max<int64_t>(0, bound.integer(0, 4)));
    interpreter.charge_memory(width);
    indention = Text(std::string(width, ' '), false);
  }
  const Text newline("\n", false);
  // A line break is added first, so that "" has one line and a break at the end of the text stays.
  const Text text = subject.text().plus(newline);
  const std::vector<std::string_view> lines = split_lines(text.view(), false);
  interpreter.charge(lines.size() + text.size() / 64);
  TextBuilder builder;
  if (bound.truth(1, false)) builder.append(indention);
  for (size_t i = 0; i < lines.size(); ++i) {
    interpreter.charge_memory(lines[i].size() + indention.size());
    if (i > 0) {
      builder.append(newline);
      if (!lines[i].empty() || bound.truth(2, false)) builder.append(indention);
    }
    builder.append(text.slice(lines[i]));
  }
  return like(subject, builder.finish());
}

Value center(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_center", arguments, {"width"});
  Arguments width;
  width.positional.push_back(bound.or_else(0, Value::integer(80)));
  return call_text_method(interpreter, soft_text(interpreter, subject), "center", width);
}

Value word_count(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  no_arguments("do_wordcount", arguments);
  const Text text = interpreter.text_of(subject);
  const std::string_view all = text.view();
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < all.size();) {
    const Character c = character_at(all, at);
    const bool word = is_word(c.code_point);
    words += word && !inside;
    inside = word;
    at += c.size;
  }
  interpreter.charge_text(all.size() * 4);
  return Value::integer(words);
}

Value truncate(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("do_truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t length = bound.integer(0, 255), leeway = bound.given(3) ? bound.integer(3, 5) : 5;
  const Value end = bound.or_else(2, Value::string("..."));
  if (!end.is_string()) type_error("object of type '{}' has no len()", end.type_name());
  const auto end_length = static_cast<int64_t>(count_characters(end.view()));
  if (length < end_length)
    raise("AssertionError", "expected length >= {}, got {}", end_length, length);
  if (leeway < 0) raise("AssertionError", "expected leeway >= 0, got {}", leeway);
  const int64_t size = length_of(subject);
  if (size <= length + leeway) return subject;
  if (!subject.is_string()) type_error("'{}' object cannot be truncated", subject.type_name());
  const Text& text = subject.text();
  interpreter.charge_text(text.size());
  Text head = text.slice(0, byte_offset(text.view(), static_cast<size_t>(length - end_length)));
  if (!bound.truth(1, false)) {
    const size_t blank = head.view().rfind(' ');
    if (blank != std::string_view::npos) head = head.slice(0, blank);
  }
  return like(subject, head.plus(end.text()));
}

Value to_json(Interpreter& interpreter, const Value& subject, Arguments& arguments) {
  const BoundArguments bound("tojson", arguments,
                             {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound.truth(0, false);
  style.sort_keys = bound.truth(3, false);
  if (bound.given(1)) {
    const Value& level = bound.at(1);
    const int64_t width = level.is_string() ? 0 : std::max<int64_t>(0, bound.integer(1, 0));
    if (width > 1000) raise("Unsupported", "an indent of {} characters", width);
    style.indent = level.is_string() ? std::string(level.view())
                                     : std::string(static_cast<size_t>(width), ' ');
    style.item_separator = ",";
  }
  if (bound.given(2)) {
    const std::vector<Value> separators = interpreter.items_of(bound.at(2));
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      value_error("separators must be two texts");
    }
    style.item_separator = separators[0].view();
    style.key_separator = separators[1].view();
  }
  interpreter.charge(subject.weight());
  // Each member of the tree may be indented and separated anew.
  const uint64_t overhead =
      (style.indent ? style.indent->size() * static_cast<uint64_t>(subject.depth() + 1) + 1 : 0) +
      style.item_separator.size() + style.key_separator.size();
  interpreter.charge_memory(std::min(kMaxWeight, subject.weight()) * overhead);
  Text text = to_json_text(subject, style);
  interpreter.charge_text(text.size());
  interpreter.charge_memory(text.size());
  return Value::string(std::move(text));
}

constexpr Filter kTextFilters[] = {
    {"capitalize", capitalized},   {"center", center}, {"e", escape},          {"escape", escape},
    {"forceescape", force_escape}, {"format", format}, {"indent", indent},     {"lower", lower},
    {"replace", replace},          {"safe", safe},     {"string", string},     {"title", title},
    {"tojson", to_json},           {"trim", trim},     {"truncate", truncate}, {"upper", upper},
    {"wordcount", word_count},
};

}  // namespace

std::span<const Filter> text_filters() { return kTextFilters; }

}  // namespace sluice::chat::jinja
