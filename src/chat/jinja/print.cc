#include "chat/jinja/print.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/json.h"
#include "chat/jinja/error.h"
#include "chat/jinja/unicode.h"

namespace sluice::chat::jinja {
namespace {

class ReprPrinter {
 public:
  void value(const Value& value) {
    const bool data = value.from_data();
    switch (value.kind()) {
      case Kind::kUndefined:
        text("Undefined", false);
        break;
      case Kind::kNone:
        text("None", data);
        break;
      case Kind::kBoolean:
        text(value.as_boolean() ? "True" : "False", data);
        break;
      case Kind::kInteger:
        text(std::to_string(value.as_integer()), data);
        break;
      case Kind::kBigInteger:
        builder_.append(value.text());
        break;
      case Kind::kFloat:
        text(float_text(value.as_real()), data);
        break;
      case Kind::kString:
        string(value);
        break;
      case Kind::kList:
        items("[", value.as<Sequence>().items, "]", data);
        break;
      case Kind::kTuple: {
        const auto& parts = value.as<Sequence>().items;
        items("(", parts, parts.size() == 1 ? ",)" : ")", data);
        break;
      }
      case Kind::kDict:
        dict(value.as<Dict>(), data);
        break;
      case Kind::kView: {
        const auto& view = value.as<Sequence>();
        text(view.label + "(", data);
        items("[", view.items, "])", data);
        break;
      }
      case Kind::kRange:
        text(value.as<Sequence>().label, false);
        break;
      case Kind::kNamespace:
        name_space(value.as<NamespaceObject>());
        break;
      case Kind::kMacro: {
        const auto& name = value.as<MacroObject>().name;
        text(name.empty() ? "<Macro anonymous>" : "<Macro " + python_quoted(name) + ">", false);
        break;
      }
      case Kind::kLoop: {
        auto& loop = value.as<LoopObject>();
        text(fmt::format("<LoopContext {}/{}>", loop.index0 + 1, loop.length()), false);
        break;
      }
      // Python prints an address for the rest; nobody can rely on it.
      default:
        text(fmt::format("<{} object>", value.type_name()), false);
        break;
    }
  }

  Text finish() { return builder_.finish(); }

 private:
  void text(std::string_view piece, bool data) { builder_.append(piece, data); }

  // Python's choice: single quotes unless only those occur within.
  void string(const Value& value) {
    if (value.is_markup()) text("Markup(", value.text().has_data());
    const std::string_view all = value.view();
    const bool use_double =
        all.find('\'') != std::string_view::npos && all.find('"') == std::string_view::npos;
    const char quote = use_double ? '"' : '\'';
    const bool data = value.text().has_data();
    text({&quote, 1}, data);
    value.text().for_each_run(
        [&](std::string_view piece, bool piece_data) { escaped(piece, quote, piece_data); });
    text({&quote, 1}, data);
    if (value.is_markup()) text(")", data);
  }

  void escaped(std::string_view piece, char quote, bool data) {
    for (size_t at = 0; at < piece.size();) {
      const Character c = character_at(piece, at);
      if (c.code_point == '\\' || c.code_point == static_cast<char32_t>(quote)) {
        text("\\", data);
        text(piece.substr(at, 1), data);
      } else if (c.code_point == '\n') {
        text("\\n", data);
      } else if (c.code_point == '\r') {
        text("\\r", data);
      } else if (c.code_point == '\t') {
        text("\\t", data);
      } else if (is_printable(c.code_point)) {
        text(piece.substr(at, c.size), data);
      } else {
        const auto number = static_cast<uint32_t>(c.code_point);
        text(number < 0x100     ? fmt::format("\\x{:02x}", number)
             : number < 0x10000 ? fmt::format("\\u{:04x}", number)
                                : fmt::format("\\U{:08x}", number),
             data);
      }
      at += c.size;
    }
  }

  void items(std::string_view open, const std::vector<Value>& items, std::string_view close,
             bool data) {
    ++depth_;
    text(open, data);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) text(", ", data);
      value(items[i]);
    }
    text(close, data);
    --depth_;
  }

  void dict(const Dict& dict, bool data) {
    ++depth_;
    text("{", data);
    for (size_t i = 0; i < dict.members.size(); ++i) {
      if (i > 0) text(", ", data);
      value(dict.members[i].first);
      text(": ", data);
      value(dict.members[i].second);
    }
    text("}", data);
    --depth_;
  }

  void name_space(const NamespaceObject& space) {
    // It may hold itself, and nothing bounds the walk.
    if (depth_ > 0) raise("Unsupported", "a namespace within another value cannot be printed");
    ++depth_;
    text("<Namespace {", false);
    for (size_t i = 0; i < space.attributes.size(); ++i) {
      if (i > 0) text(", ", false);
      text(python_quoted(space.attributes[i].first) + ": ", false);
      value(space.attributes[i].second);
    }
    text("}>", false);
    --depth_;
  }

  TextBuilder builder_;
  int depth_ = 0;
};

class JsonPrinter {
 public:
  explicit JsonPrinter(const JsonStyle& style) : style_(style) {}

  void value(const Value& value) {
    const bool data = value.from_data();
    switch (value.kind()) {
      case Kind::kNone:
        text("null", data);
        break;
      case Kind::kBoolean:
        text(value.as_boolean() ? "true" : "false", data);
        break;
      case Kind::kInteger:
        text(std::to_string(value.as_integer()), data);
        break;
      case Kind::kBigInteger:
        builder_.append(value.text());
        break;
      case Kind::kFloat:
        text(number(value.as_real()), data);
        break;
      case Kind::kString:
        string(value.text());
        break;
      case Kind::kList:
      case Kind::kTuple:
        list(value.as<Sequence>().items, data);
        break;
      case Kind::kDict:
        dict(value.as<Dict>(), data);
        break;
      default:
        type_error("Object of type {} is not JSON serializable", value.type_name());
    }
  }

  Text finish() { return builder_.finish(); }

 private:
  void text(std::string_view piece, bool data) { builder_.append(piece, data); }

  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_text(value);
  }

  void string(const Text& string) {
    const bool data = string.has_data();
    text("\"", data);
    string.for_each_run([&](std::string_view piece, bool piece_data) {
      std::string literal;
      append_json_string(piece, literal);
      const std::string_view inner = std::string_view(literal).substr(1, literal.size() - 2);
      text(style_.ensure_ascii ? ascii(inner) : std::string(inner), piece_data);
    });
    text("\"", data);
  }

  static std::string ascii(std::string_view inner) {
    std::string out;
    for (size_t at = 0; at < inner.size();) {
      const Character c = character_at(inner, at);
      at += c.size;
      auto number = static_cast<uint32_t>(c.code_point);
      // DEL is escaped too, only without ensure_ascii it stays.
      if (number < 0x7F) {
        out += static_cast<char>(number);
      } else if (number < 0x10000) {
        out += fmt::format("\\u{:04x}", number);
      } else {
        number -= 0x10000;
        out +=
            fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (number >> 10), 0xDC00 + (number & 0x3FF));
      }
    }
    return out;
  }

  void new_line(bool data) {
    if (!style_.indent) return;
    text("\n", data);
    for (int i = 0; i < level_; ++i) text(*style_.indent, data);
  }

  // With an indent the separator is followed by a line break, and json.dumps then drops its blank
  // by default.
  void separator(bool data) {
    text(style_.item_separator, data);
    new_line(data);
  }

  void list(const std::vector<Value>& items, bool data) {
    if (items.empty()) return text("[]", data);
    text("[", data);
    ++level_;
    new_line(data);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) separator(data);
      value(items[i]);
    }
    --level_;
    new_line(data);
    text("]", data);
  }

  void key(const Value& key) {
    const bool data = key.from_data();
    switch (key.kind()) {
      case Kind::kString:
        string(key.text());
        return;
      case Kind::kNone:
        text("\"null\"", data);
        return;
      case Kind::kBoolean:
        text(key.as_boolean() ? "\"true\"" : "\"false\"", data);
        return;
      case Kind::kInteger:
      case Kind::kBigInteger:
      case Kind::kFloat:
        text("\"", data);
        value(key);
        text("\"", data);
        return;
      default:
        type_error("keys must be str, int, float, bool or None, not {}", key.type_name());
    }
  }

  void dict(const Dict& dict, bool data) {
    if (dict.members.empty()) return text("{}", data);
    std::vector<const Dict::Member*> members;
    for (const auto& member : dict.members) members.push_back(&member);
    if (style_.sort_keys) {
      std::stable_sort(members.begin(), members.end(), [](const auto* a, const auto* b) {
        return compare(a->first, b->first, "<") < 0;
      });
    }
    text("{", data);
    ++level_;
    new_line(data);
    for (size_t i = 0; i < members.size(); ++i) {
      if (i > 0) separator(data);
      key(members[i]->first);
      text(style_.key_separator, data);
      value(members[i]->second);
    }
    --level_;
    new_line(data);
    text("}", data);
  }

  const JsonStyle& style_;
  TextBuilder builder_;
  int level_ = 0;
};

}  // namespace

Text to_text(const Value& value, PrintStyle style) {
  if (style == PrintStyle::kStr) {
    if (value.is_string()) return value.text();
    if (value.is_undefined()) return {};
  }
  ReprPrinter printer;
  printer.value(value);
  return printer.finish();
}

std::string python_quoted(std::string_view text) {
  return std::string(to_text(Value::string(text), PrintStyle::kRepr).view());
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view scientific(buffer, static_cast<size_t>(end - buffer));
  const size_t e = scientific.find('e');
  int exponent = 0;
  const char* digits_of_exponent = buffer + e + (scientific[e + 1] == '+' ? 2 : 1);
  std::from_chars(digits_of_exponent, end, exponent);
  if (exponent < -4 || exponent >= 16) {
    // Shortest digits, and at least two of the exponent: 1e+16, 1.5e-07. Both notations agree on
    // that.
    return std::string(scientific);
  }
  const auto fixed_end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed).ptr;
  std::string fixed(buffer, fixed_end);
  if (fixed.find('.') == std::string::npos) fixed += ".0";
  return fixed;
}

Text to_json_text(const Value& value, const JsonStyle& style) {
  JsonPrinter printer(style);
  printer.value(value);
  return printer.finish();
}

}  // namespace sluice::chat::jinja
