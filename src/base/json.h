// A JSON value that keeps what the model can see: the order of keys and the spelling of numbers.
//
// boost::json's own value type stores numbers as int64 or double, so 1.0 and 1e5 lose their
// spelling, and a chat template would print another text than Python does. Its basic_parser feeds
// this type instead.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sluice {

class Json {
 public:
  enum class Kind { kNull, kBoolean, kNumber, kString, kArray, kObject };
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;  // in order of appearance, keys unique

  Json() = default;                                             // null
  Json(std::nullptr_t) {}                                       // NOLINT: implicit
  Json(bool value) : kind_(Kind::kBoolean), boolean_(value) {}  // NOLINT: implicit
  Json(int value) : Json(static_cast<int64_t>(value)) {}        // NOLINT: implicit
  Json(int64_t value);                                          // NOLINT: implicit
  Json(uint64_t value);                                         // NOLINT: implicit
  Json(double value);  // NOLINT: implicit; shortest spelling that reads back equal; NaN and
                       // infinities become null
  Json(const char* value) : Json(std::string(value)) {}                       // NOLINT: implicit
  Json(std::string_view value) : Json(std::string(value)) {}                  // NOLINT: implicit
  Json(std::string value) : kind_(Kind::kString), text_(std::move(value)) {}  // NOLINT: implicit
  Json(Array value) : kind_(Kind::kArray), array_(std::move(value)) {}        // NOLINT: implicit
  Json(Object value) : kind_(Kind::kObject), object_(std::move(value)) {}     // NOLINT: implicit
  static Json number_from_spelling(std::string spelling);  // must be a JSON number
  static Json object() { return Json(Object{}); }
  static Json array() { return Json(Array{}); }

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_boolean() const { return kind_ == Kind::kBoolean; }
  bool is_number() const { return kind_ == Kind::kNumber; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_array() const { return kind_ == Kind::kArray; }
  bool is_object() const { return kind_ == Kind::kObject; }
  const char* kind_name() const;  // "null", "boolean", ... for messages

  // Accessors check the kind (contract violation otherwise).
  bool boolean() const;
  const std::string& string() const;
  const Array& items() const;
  Array& items();
  const Object& members() const;
  Object& members();

  // A number as it was written ("1.0", "1e5"), whether it is an integer by spelling (no '.', no
  // exponent), and its value if it fits exactly.
  const std::string& spelling() const;
  bool is_integer() const;
  std::optional<int64_t> as_int64()
      const;  // integers by spelling within range; nothing for other kinds
  std::optional<uint64_t> as_uint64() const;  // the same
  std::optional<double> as_double() const;    // any number, nearest double

  // Member by key, or nullptr (also when this is not an object).
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  // Sets or replaces a member; a null value becomes an object first.
  Json& set(std::string_view key, Json value);
  void push_back(Json value);  // a null value becomes an array first

  // Minimal text: no spaces, non-ASCII kept, control characters escaped. indent > 0 spreads over
  // lines.
  std::string dump(int indent = 0) const;

  friend bool operator==(const Json&, const Json&) = default;  // numbers compare by spelling

 private:
  Kind kind_ = Kind::kNull;
  bool boolean_ = false;
  std::string text_;  // string, or spelling of a number
  Array array_;
  Object object_;
};

enum class DuplicateKeys {
  kLastWins,
  kReject
};  // kLastWins: last value at the first position, as Python's dict

struct JsonLimits {
  size_t depth = 64;
  DuplicateKeys duplicates = DuplicateKeys::kLastWins;
};

// Strict RFC 8259 over well-formed UTF-8; nothing but white space may follow the value. The error
// says what is wrong and at which byte; `what` is left to the caller (file or request part).
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

// Appends `text` as a JSON string literal, quotes included.
void append_json_string(std::string_view text, std::string& out);

}  // namespace sluice
