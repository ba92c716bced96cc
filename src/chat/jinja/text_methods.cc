// Methods of str.
#include <algorithm>
#include <cstring>

#include "chat/jinja/error.h"
#include "chat/jinja/format.h"
#include "chat/jinja/methods.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

constexpr size_t kNotFound = std::string_view::npos;

// Linear, whatever the texts.
size_t find_first(std::string_view all, std::string_view part, size_t from = 0) {
  if (from > all.size()) return kNotFound;
  if (part.empty()) return from;
  if (part.size() > all.size() - from) return kNotFound;  // memmem takes no null pointer
  const void* found = memmem(all.data() + from, all.size() - from, part.data(), part.size());
  return found ? static_cast<size_t>(static_cast<const char*>(found) - all.data()) : kNotFound;
}

// The last place, as the first one of both texts reversed: searching backwards in place is
// quadratic.
size_t find_last(std::string_view all, std::string_view part) {
  if (part.empty()) return all.size();
  if (part.size() == 1) return all.rfind(part[0]);
  const std::string reversed_all(all.rbegin(), all.rend()),
      reversed_part(part.rbegin(), part.rend());
  const size_t found = find_first(reversed_all, reversed_part);
  return found == kNotFound ? kNotFound : all.size() - found - part.size();
}

// A call of one method: its object, name and arguments.
class TextCall {
 public:
  TextCall(Interpreter& interpreter, const Value& self, std::string_view name, Arguments& arguments)
      : interpreter_(interpreter),
        self_(self),
        text_(self.text()),
        all_(self.view()),
        name_(name),
        arguments_(arguments) {}

  Value run() {
    interpreter_.charge_text(all_.size());
    if (name_ == "strip") return strip(StripSide::kBoth);
    if (name_ == "lstrip") return strip(StripSide::kLeft);
    if (name_ == "rstrip") return strip(StripSide::kRight);
    if (name_ == "startswith" || name_ == "endswith") return starts_or_ends();
    if (name_ == "split") return split();
    if (name_ == "rsplit") return right_split();
    if (name_ == "splitlines") return split_into_lines();
    if (name_ == "partition" || name_ == "rpartition") return partition();
    if (name_ == "replace") return replace();
    if (name_ == "removeprefix" || name_ == "removesuffix") return remove_affix();
    if (name_ == "join") return join();
    if (name_ == "find" || name_ == "index" || name_ == "rfind" || name_ == "rindex") return find();
    if (name_ == "count") return count();
    if (name_ == "ljust" || name_ == "rjust" || name_ == "center") return justify();
    if (name_ == "zfill") return zero_fill();
    if (name_ == "format")
      return interpreter_.new_text(format_braces(interpreter_, text_, arguments_));
    if (name_.starts_with("is")) return property();
    return change();
  }

 private:
  Value wrap(Text text) const {
    return self_.is_markup() ? Value::markup(std::move(text)) : Value::string(std::move(text));
  }
  Value wrap_new(Text text) const {
    interpreter_.charge_memory(text.size());
    return wrap(std::move(text));
  }
  const char* c_name() { return (name_text_ = name_).c_str(); }

  BoundArguments bind(std::initializer_list<const char*> names, size_t required = 0) {
    return BoundArguments(c_name(), arguments_, names, required);
  }
  // Python's methods written in C take most of their arguments by place only.
  BoundArguments bind_places(std::initializer_list<const char*> names, size_t required = 0) {
    if (!arguments_.keyword.empty()) type_error("str.{}() takes no keyword arguments", name_);
    return bind(names, required);
  }

  const Text& text_argument(const Value& value, const char* what) const {
    if (!value.is_string())
      type_error("{}() {} must be str, not {}", name_, what, value.type_name());
    return value.text();
  }

  Value strip(StripSide side) {
    const BoundArguments bound = bind_places({"chars"});
    if (bound.given(0) && !bound.at(0).is_string()) type_error("{} arg must be None or str", name_);
    return strip_text(self_, bound.given(0) ? &bound.at(0) : nullptr, side);
  }

  // Part of the text between the optional arguments start and end, counted in characters.
  std::string_view window(const BoundArguments& bound, size_t start_index) {
    if (!bound.given(start_index) && !bound.given(start_index + 1)) return all_;
    const auto size = static_cast<int64_t>(count_characters(all_));
    const auto place = [&](size_t i, int64_t otherwise) {
      int64_t index = bound.given(i) ? bound.integer(i, otherwise) : otherwise;
      if (index < 0) index = std::max<int64_t>(0, index < -size ? 0 : index + size);
      return index;
    };
    const int64_t first = place(start_index, 0),
                  last = std::min(size, place(start_index + 1, size));
    if (first > size || first > last) return {};  // a null view: not even "" is in it
    const size_t begin = byte_offset(all_, static_cast<size_t>(first));
    return all_.substr(begin, byte_offset(all_, static_cast<size_t>(last)) - begin);
  }

  Value starts_or_ends() {
    const BoundArguments bound = bind_places({"prefix", "start", "end"}, 1);
    const std::string_view part = window(bound, 1);
    const bool at_start = name_ == "startswith";
    const auto matches = [&](const Value& affix) {
      if (!affix.is_string()) return false;
      if (!part.data() && all_.data()) return false;
      return at_start ? part.starts_with(affix.view()) : part.ends_with(affix.view());
    };
    const Value& wanted = bound.at(0);
    if (wanted.is_string()) return Value::boolean(matches(wanted));
    if (!wanted.is(Kind::kTuple)) {
      type_error("{} first arg must be str or a tuple of str, not {}", name_, wanted.type_name());
    }
    for (const Value& affix : wanted.as<Sequence>().items) {
      if (!affix.is_string())
        type_error("tuple for {} must only contain str, not {}", name_, affix.type_name());
      if (matches(affix)) return Value::boolean(true);
    }
    return Value::boolean(false);
  }

  Value list_of(const std::vector<std::string_view>& parts) const {
    std::vector<Value> items;
    for (const std::string_view part : parts) items.push_back(wrap(text_.slice(part)));
    return interpreter_.new_list(std::move(items));
  }

  std::string_view separator(const BoundArguments& bound) const {
    if (!bound.at(0).is_string())
      type_error("must be str or None, not {}", bound.at(0).type_name());
    if (bound.at(0).text().empty()) value_error("empty separator");
    return bound.at(0).view();
  }

  Value split() {
    const BoundArguments bound = bind({"sep", "maxsplit"});
    int64_t limit = bound.integer(1, -1);
    std::vector<std::string_view> parts;
    std::string_view rest = all_;
    if (bound.given(0)) {
      const std::string_view mark = separator(bound);
      for (size_t at = 0; limit-- != 0 && (at = find_first(rest, mark)) != kNotFound;) {
        parts.push_back(rest.substr(0, at));
        rest.remove_prefix(at + mark.size());
        if (limit < 0) limit = -1;
      }
      parts.push_back(rest);
      return list_of(parts);
    }
    for (rest = strip_left(rest); !rest.empty(); rest = strip_left(rest)) {
      if (limit-- == 0) {
        parts.push_back(rest);
        break;
      }
      if (limit < 0) limit = -1;
      size_t end = 0;
      while (end < rest.size()) {
        const Character c = character_at(rest, end);
        if (is_space(c.code_point)) break;
        end += c.size;
      }
      parts.push_back(rest.substr(0, end));
      rest.remove_prefix(end);
    }
    return list_of(parts);
  }

  Value right_split() {
    const BoundArguments bound = bind({"sep", "maxsplit"});
    int64_t limit = bound.integer(1, -1);
    if (limit < 0) return split();
    std::vector<std::string_view> parts;
    std::string_view rest = all_;
    if (bound.given(0)) {
      const std::string_view mark = separator(bound);
      for (size_t at = 0; limit-- > 0 && (at = find_last(rest, mark)) != kNotFound;) {
        interpreter_.charge_text(rest.size());
        parts.push_back(rest.substr(at + mark.size()));
        rest = rest.substr(0, at);
      }
      parts.push_back(rest);
    } else {
      for (rest = strip_right(rest); !rest.empty(); rest = strip_right(rest)) {
        if (limit-- == 0) {
          parts.push_back(rest);
          break;
        }
        size_t begin = rest.size();
        while (begin > 0) {
          const Character c = character_before(rest, begin);
          if (is_space(c.code_point)) break;
          begin -= c.size;
        }
        parts.push_back(rest.substr(begin));
        rest = rest.substr(0, begin);
      }
    }
    std::reverse(parts.begin(), parts.end());
    return list_of(parts);
  }

  Value split_into_lines() {
    const BoundArguments bound = bind({"keepends"});
    return list_of(split_lines(all_, bound.truth(0, false)));
  }

  Value partition() {
    const BoundArguments bound = bind_places({"sep"}, 1);
    const std::string_view mark = text_argument(bound.at(0), "argument").view();
    if (mark.empty()) value_error("empty separator");
    const bool from_right = name_ == "rpartition";
    const size_t at = from_right ? find_last(all_, mark) : find_first(all_, mark);
    const Value empty = wrap(Text());
    if (at == kNotFound) {
      return from_right ? Value::tuple({empty, empty, self_}) : Value::tuple({self_, empty, empty});
    }
    return Value::tuple({wrap(text_.slice(0, at)), wrap(text_.slice(at, at + mark.size())),
                         wrap(text_.slice(at + mark.size(), text_.size()))});
  }

  Value replace() {
    const BoundArguments bound = bind_places({"old", "new", "count"}, 2);
    Text old = text_argument(bound.at(0), "argument 1"),
         replacement = text_argument(bound.at(1), "argument 2");
    if (self_.is_markup()) {
      if (!bound.at(0).is_markup()) old = escape_html(old);
      if (!bound.at(1).is_markup()) replacement = escape_html(replacement);
    }
    return wrap(replace_text(interpreter_, text_, old.view(), replacement, bound.integer(2, -1)));
  }

  Value remove_affix() {
    const BoundArguments bound = bind_places({"affix"}, 1);
    const std::string_view affix = text_argument(bound.at(0), "argument").view();
    if (name_ == "removeprefix") {
      return wrap(all_.starts_with(affix) ? text_.slice(affix.size(), text_.size()) : text_);
    }
    return wrap(all_.ends_with(affix) ? text_.slice(0, text_.size() - affix.size()) : text_);
  }

  Value join() {
    const BoundArguments bound = bind_places({"iterable"}, 1);
    const Value& iterable = bound.at(0);
    if (iterable.kind() != Kind::kString && !iterable.is_undefined() &&
        (iterable.kind() < Kind::kList || iterable.kind() > Kind::kIterator)) {
      type_error("can only join an iterable");
    }
    std::vector<Text> parts;
    for (const Value& item : interpreter_.items_of(iterable)) {
      if (!item.is_string()) {
        type_error("sequence item {}: expected str instance, {} found", parts.size(),
                   item.type_name());
      }
      parts.push_back(self_.is_markup() && !item.is_markup() ? escape_html(item.text())
                                                             : item.text());
    }
    return wrap(join_text(interpreter_, text_, parts));
  }

  Value find() {
    const BoundArguments bound = bind_places({"sub", "start", "end"}, 1);
    const std::string_view part = text_argument(bound.at(0), "argument 1").view();
    const std::string_view within = window(bound, 1);
    const bool outside = !within.data() && all_.data();
    const size_t at = outside           ? kNotFound
                      : name_[0] == 'r' ? find_last(within, part)
                                        : find_first(within, part);
    if (at == kNotFound) {
      if (name_.ends_with("index")) value_error("substring not found");
      return Value::integer(-1);
    }
    const size_t skipped = within.data() ? static_cast<size_t>(within.data() - all_.data()) : 0;
    return Value::integer(static_cast<int64_t>(count_characters(all_.substr(0, skipped + at))));
  }

  Value count() {
    const BoundArguments bound = bind_places({"sub", "start", "end"}, 1);
    const std::string_view part = text_argument(bound.at(0), "argument 1").view();
    const std::string_view within = window(bound, 1);
    if (!within.data() && all_.data()) return Value::integer(0);
    if (part.empty()) return Value::integer(static_cast<int64_t>(count_characters(within)) + 1);
    int64_t found = 0;
    for (size_t at = 0; (at = find_first(within, part, at)) != kNotFound; at += part.size())
      ++found;
    return Value::integer(found);
  }

  Value justify() {
    const BoundArguments bound = bind_places({"width", "fillchar"}, 1);
    const Text fill = bound.has(1) ? text_argument(bound.at(1), "argument 2") : Text(" ", false);
    if (count_characters(fill.view()) != 1)
      type_error("The fill character must be exactly one character long");
    const int64_t missing = bound.integer(0, 0) - static_cast<int64_t>(count_characters(all_));
    if (missing <= 0) return self_;
    interpreter_.charge_memory(static_cast<uint64_t>(missing) * fill.size());
    interpreter_.charge(static_cast<uint64_t>(missing));
    // str.center puts the odd one on the left only if the width is odd as well.
    const int64_t left = name_ == "rjust"   ? missing
                         : name_ == "ljust" ? 0
                                            : missing / 2 + (missing & bound.integer(0, 0) & 1);
    TextBuilder builder;
    for (int64_t i = 0; i < left; ++i) builder.append(fill);
    builder.append(text_);
    for (int64_t i = left; i < missing; ++i) builder.append(fill);
    return wrap(builder.finish());
  }

  Value zero_fill() {
    const BoundArguments bound = bind_places({"width"}, 1);
    const int64_t missing = bound.integer(0, 0) - static_cast<int64_t>(count_characters(all_));
    if (missing <= 0) return self_;
    interpreter_.charge_memory(static_cast<uint64_t>(missing));
    const size_t sign = !all_.empty() && (all_[0] == '-' || all_[0] == '+') ? 1 : 0;
    TextBuilder builder;
    builder.append(text_.slice(0, sign));
    builder.append(std::string(static_cast<size_t>(missing), '0'), text_.has_data());
    builder.append(text_.slice(sign, text_.size()));
    return wrap(builder.finish());
  }

  Value property() {
    bind_places({});
    const auto all = [&](bool (*has)(char32_t)) {
      return Value::boolean(all_characters(all_, has));
    };
    if (name_ == "isspace") return all(is_space);
    if (name_ == "isdigit") return all(is_digit);
    if (name_ == "isdecimal") return all(is_decimal);
    if (name_ == "isnumeric") return all(is_numeric);
    if (name_ == "isalpha") return all(is_alpha);
    if (name_ == "isalnum") return all(is_alphanumeric);
    if (name_ == "isupper") return Value::boolean(is_upper_text(all_));
    if (name_ == "islower") return Value::boolean(is_lower_text(all_));
    if (name_ == "istitle") return Value::boolean(is_title_text(all_));
    if (name_ == "isprintable")
      return Value::boolean(all_.empty() || all_characters(all_, is_printable));
    if (name_ == "isascii") {
      return Value::boolean(std::all_of(
          all_.begin(), all_.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
    }
    // isidentifier
    return Value::boolean(all_characters(all_, is_identifier_part) &&
                          is_identifier_start(character_at(all_, 0).code_point));
  }

  Value change() {
    static constexpr std::pair<std::string_view, Case> kCases[] = {{"upper", Case::kUpper},
                                                                   {"lower", Case::kLower},
                                                                   {"title", Case::kTitle},
                                                                   {"swapcase", Case::kSwap},
                                                                   {"casefold", Case::kFold}};
    for (const auto& [method, to] : kCases) {
      if (name_ != method) continue;
      bind_places({});
      return wrap_new(change_case(text_, to));
    }
    if (name_ == "capitalize") {
      bind_places({});
      return wrap_new(capitalize(text_));
    }
    raise("Unsupported", "the method '{}' of str is not supported", name_);
  }

  Interpreter& interpreter_;
  const Value& self_;
  const Text& text_;
  const std::string_view all_;
  const std::string_view name_;
  Arguments& arguments_;
  std::string name_text_;
};

}  // namespace

Value call_text_method(Interpreter& interpreter, const Value& self, std::string_view name,
                       Arguments& arguments) {
  return TextCall(interpreter, self, name, arguments).run();
}

Value strip_text(const Value& self, const Value* characters, StripSide side) {
  const std::string_view set = characters ? characters->view() : std::string_view();
  const std::string_view* chosen = characters ? &set : nullptr;
  std::string_view part = self.view();
  if (side != StripSide::kRight) part = strip_left(part, chosen);
  if (side != StripSide::kLeft) part = strip_right(part, chosen);
  const Text text = self.text().slice(part);
  return self.is_markup() ? Value::markup(text) : Value::string(text);
}

Text replace_text(Interpreter& interpreter, const Text& text, std::string_view old,
                  const Text& replacement, int64_t count) {
  const std::string_view all = text.view();
  TextBuilder builder;
  size_t at = 0;
  uint64_t pieces = 0;
  const auto put = [&](const Text& piece) {
    // Before it is made: a long replacement for many short finds.
    interpreter.charge_memory(piece.size());
    builder.append(piece);
  };
  if (old.empty()) {
    // Between all characters, and at both ends.
    for (; count != 0; --count) {
      put(replacement);
      if (at >= all.size()) break;
      const size_t size = character_at(all, at).size;
      put(text.slice(at, at + size));
      at += size;
      ++pieces;
    }
  } else {
    for (size_t found; count != 0 && (found = find_first(all, old, at)) != kNotFound; --count) {
      put(text.slice(at, found));
      put(replacement);
      at = found + old.size();
      ++pieces;
    }
  }
  put(text.slice(std::min(at, all.size()), all.size()));
  interpreter.charge(pieces);
  return builder.finish();
}

Text join_text(Interpreter& interpreter, const Text& separator, const std::vector<Text>& parts) {
  TextBuilder builder;
  for (size_t i = 0; i < parts.size(); ++i) {
    interpreter.charge_memory(parts[i].size() + separator.size());
    if (i > 0) builder.append(separator);
    builder.append(parts[i]);
  }
  interpreter.charge_text(builder.size());
  return builder.finish();
}

}  // namespace sluice::chat::jinja
