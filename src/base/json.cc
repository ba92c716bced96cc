#include "base/json.h"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "base/check.h"
#include "base/utf8.h"

namespace sluice {

Json::Json(int64_t value) : kind_(Kind::kNumber), text_(std::to_string(value)) {}
Json::Json(uint64_t value) : kind_(Kind::kNumber), text_(std::to_string(value)) {}

Json::Json(double value) {
  if (!std::isfinite(value)) return;
  kind_ = Kind::kNumber;
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  text_.assign(buffer, end);
}

Json Json::number_from_spelling(std::string spelling) {
  Json json;
  json.kind_ = Kind::kNumber;
  json.text_ = std::move(spelling);
  return json;
}

const char* Json::kind_name() const {
  switch (kind_) {
    case Kind::kNull:
      return "null";
    case Kind::kBoolean:
      return "boolean";
    case Kind::kNumber:
      return "number";
    case Kind::kString:
      return "string";
    case Kind::kArray:
      return "array";
    case Kind::kObject:
      return "object";
  }
  return "unknown";
}

bool Json::boolean() const {
  SLUICE_CHECK(is_boolean(), "kind {}", kind_name());
  return boolean_;
}
const std::string& Json::string() const {
  SLUICE_CHECK(is_string(), "kind {}", kind_name());
  return text_;
}
const Json::Array& Json::items() const {
  SLUICE_CHECK(is_array(), "kind {}", kind_name());
  return array_;
}
Json::Array& Json::items() {
  SLUICE_CHECK(is_array(), "kind {}", kind_name());
  return array_;
}
const Json::Object& Json::members() const {
  SLUICE_CHECK(is_object(), "kind {}", kind_name());
  return object_;
}
Json::Object& Json::members() {
  SLUICE_CHECK(is_object(), "kind {}", kind_name());
  return object_;
}
const std::string& Json::spelling() const {
  SLUICE_CHECK(is_number(), "kind {}", kind_name());
  return text_;
}

bool Json::is_integer() const {
  return is_number() && text_.find_first_of(".eE") == std::string::npos;
}

namespace {
template <typename T>
std::optional<T> parse_integer(const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}
}  // namespace

std::optional<int64_t> Json::as_int64() const {
  return is_integer() ? parse_integer<int64_t>(text_) : std::nullopt;
}
std::optional<uint64_t> Json::as_uint64() const {
  return is_integer() ? parse_integer<uint64_t>(text_ == "-0" ? "0" : text_) : std::nullopt;
}
std::optional<double> Json::as_double() const {
  if (!is_number()) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
  if (error == std::errc::result_out_of_range) {
    // Too large or too small for a double: infinity or zero with the sign of the spelling, as
    // Python reads it.
    const bool tiny = text_.find("e-") != std::string::npos ||
                      text_.find("E-") != std::string::npos ||
                      text_.find_first_of("eE") == std::string::npos;
    value = tiny ? 0.0 : HUGE_VAL;
    if (text_.front() == '-') value = -value;
  }
  return value;
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const Member& member : object_) {
    if (member.first == key) return &member.second;
  }
  return nullptr;
}
Json* Json::find(std::string_view key) {
  return const_cast<Json*>(static_cast<const Json*>(this)->find(key));
}

Json& Json::set(std::string_view key, Json value) {
  if (is_null()) *this = object();
  if (Json* present = find(key)) {
    *present = std::move(value);
    return *present;
  }
  return members().emplace_back(std::string(key), std::move(value)).second;
}

void Json::push_back(Json value) {
  if (is_null()) *this = array();
  items().push_back(std::move(value));
}

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

namespace {
void dump_to(const Json& json, int indent, int level, std::string& out) {
  const auto new_line = [&](int depth) {
    if (indent > 0) out += '\n' + std::string(static_cast<size_t>(indent * depth), ' ');
  };
  switch (json.kind()) {
    case Json::Kind::kNull:
      out += "null";
      return;
    case Json::Kind::kBoolean:
      out += json.boolean() ? "true" : "false";
      return;
    case Json::Kind::kNumber:
      out += json.spelling();
      return;
    case Json::Kind::kString:
      append_json_string(json.string(), out);
      return;
    case Json::Kind::kArray: {
      out += '[';
      const char* separator = "";
      for (const Json& item : json.items()) {
        out += separator;
        new_line(level + 1);
        dump_to(item, indent, level + 1, out);
        separator = ",";
      }
      if (!json.items().empty()) new_line(level);
      out += ']';
      return;
    }
    case Json::Kind::kObject: {
      out += '{';
      const char* separator = "";
      for (const Json::Member& member : json.members()) {
        out += separator;
        new_line(level + 1);
        append_json_string(member.first, out);
        out += indent > 0 ? ": " : ":";
        dump_to(member.second, indent, level + 1, out);
        separator = ",";
      }
      if (!json.members().empty()) new_line(level);
      out += '}';
      return;
    }
  }
}
}  // namespace

std::string Json::dump(int indent) const {
  std::string out;
  dump_to(*this, indent, 0, out);
  return out;
}

namespace {

using BoostError = boost::json::error_code;

// Receives boost::json's parse events and builds a Json on an explicit stack.
class JsonBuilder {
 public:
  static constexpr size_t max_object_size = static_cast<size_t>(-1);
  static constexpr size_t max_array_size = static_cast<size_t>(-1);
  static constexpr size_t max_key_size = static_cast<size_t>(-1);
  static constexpr size_t max_string_size = static_cast<size_t>(-1);

  explicit JsonBuilder(DuplicateKeys duplicates) : duplicates_(duplicates) {}

  Json take() { return std::move(root_); }
  const std::string& duplicate_key() const { return duplicate_key_; }
  bool saw_duplicate() const { return saw_duplicate_; }

  bool on_document_begin(BoostError&) { return true; }
  bool on_document_end(BoostError&) { return true; }
  bool on_object_begin(BoostError&) { return open(Json::object()); }
  bool on_object_end(size_t, BoostError&) { return close(); }
  bool on_array_begin(BoostError&) { return open(Json::array()); }
  bool on_array_end(size_t, BoostError&) { return close(); }
  bool on_key_part(boost::json::string_view part, size_t, BoostError&) {
    return append(text_, part);
  }
  bool on_key(boost::json::string_view part, size_t, BoostError& error) {
    append(text_, part);
    stack_.back().key = std::move(text_);
    text_.clear();
    Level& level = stack_.back();
    // Small objects are searched in order; an index appears only when a hostile document would make
    // that quadratic.
    if (!level.index.empty() || level.value.members().size() > 16) {
      if (level.index.empty()) {
        for (size_t i = 0; i < level.value.members().size(); ++i)
          level.index.emplace(level.value.members()[i].first, i);
      }
      level.duplicate = level.index.contains(level.key);
    } else {
      level.duplicate = level.value.find(level.key) != nullptr;
    }
    if (level.duplicate && duplicates_ == DuplicateKeys::kReject) {
      saw_duplicate_ = true;
      duplicate_key_ = level.key;
      error = boost::json::error::extra_data;
      return false;
    }
    return true;
  }
  bool on_string_part(boost::json::string_view part, size_t, BoostError&) {
    return append(text_, part);
  }
  bool on_string(boost::json::string_view part, size_t, BoostError&) {
    append(text_, part);
    Json value(std::move(text_));
    text_.clear();
    return add(std::move(value));
  }
  bool on_number_part(boost::json::string_view part, BoostError&) { return append(number_, part); }
  bool on_int64(int64_t, boost::json::string_view part, BoostError&) { return number(part); }
  bool on_uint64(uint64_t, boost::json::string_view part, BoostError&) { return number(part); }
  bool on_double(double, boost::json::string_view part, BoostError&) { return number(part); }
  bool on_bool(bool value, BoostError&) { return add(Json(value)); }
  bool on_null(BoostError&) { return add(Json()); }
  bool on_comment_part(boost::json::string_view, BoostError&) { return true; }
  bool on_comment(boost::json::string_view, BoostError&) { return true; }

 private:
  struct Level {
    Json value;
    std::string key;
    bool duplicate = false;
    std::unordered_map<std::string, size_t> index;
  };

  static bool append(std::string& to, boost::json::string_view part) {
    to.append(part.data(), part.size());
    return true;
  }
  bool number(boost::json::string_view part) {
    append(number_, part);
    Json value = Json::number_from_spelling(std::move(number_));
    number_.clear();
    return add(std::move(value));
  }
  bool open(Json value) {
    stack_.push_back({std::move(value), {}, false, {}});
    return true;
  }
  bool close() {
    Json value = std::move(stack_.back().value);
    stack_.pop_back();
    return add(std::move(value));
  }
  bool add(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Level& level = stack_.back();
    if (level.value.is_array()) {
      level.value.items().push_back(std::move(value));
    } else if (level.duplicate) {
      *level.value.find(level.key) = std::move(value);
    } else {
      if (!level.index.empty()) level.index.emplace(level.key, level.value.members().size());
      level.value.members().emplace_back(std::move(level.key), std::move(value));
    }
    return true;
  }

  const DuplicateKeys duplicates_;
  Json root_;
  std::vector<Level> stack_;
  std::string text_, number_, duplicate_key_;
  bool saw_duplicate_ = false;
};

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (const auto bad = find_invalid_utf8(text)) {
    return bad_input("JSON", fmt::format("byte {} is not valid UTF-8", *bad));
  }
  boost::json::parse_options options;
  options.max_depth = limits.depth;
  boost::json::basic_parser<JsonBuilder> parser(options, limits.duplicates);
  BoostError error;
  const size_t used = parser.write_some(false, text.data(), text.size(), error);
  if (parser.handler().saw_duplicate()) {
    return bad_input("JSON", fmt::format("key \"{}\" occurs twice, at byte {}",
                                         parser.handler().duplicate_key(), used));
  }
  if (error) return bad_input("JSON", fmt::format("{} at byte {}", error.message(), used));
  const size_t rest = text.find_first_not_of(" \t\r\n", used);
  if (rest != std::string_view::npos) {
    return bad_input("JSON", fmt::format("unexpected data after the value at byte {}", rest));
  }
  return parser.handler().take();
}

}  // namespace sluice
