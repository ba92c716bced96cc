// Truth, equality, order and length of values.
#include <algorithm>
#include <cmath>
#include <optional>

#include "chat/jinja/error.h"
#include "chat/jinja/unicode.h"
#include "chat/jinja/value.h"

namespace sluice::chat::jinja {

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBoolean:
      return value.as_boolean();
    case Kind::kInteger:
      return value.as_integer() != 0;
    case Kind::kFloat:
      return value.as_real() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kRange:
      return !value.as<Sequence>().items.empty();
    case Kind::kDict:
      return !value.as<Dict>().members.empty();
    case Kind::kLoop:
      return value.as<LoopObject>().length() != 0;
    default:
      return true;
  }
}

namespace {

// Sign of left - right for two numbers; nothing if one is NaN.
std::optional<int> compare_numbers(const Value& left, const Value& right) {
  const bool left_big = left.is(Kind::kBigInteger), right_big = right.is(Kind::kBigInteger);
  if (left.is(Kind::kFloat) || right.is(Kind::kFloat)) {
    const double a = left.as_real(), b = right.as_real();
    if (std::isnan(a) || std::isnan(b)) return std::nullopt;
    if (a != b || left_big || right_big) return a < b ? -1 : a > b;
    // Equal as doubles: an int64 beyond 2^53 may still differ from the double it was rounded to.
    if (left.kind() == right.kind() || a >= 0x1p63 || a < -0x1p63) return 0;
    const int64_t x = left.is(Kind::kFloat) ? static_cast<int64_t>(a) : left.as_integer();
    const int64_t y = right.is(Kind::kFloat) ? static_cast<int64_t>(b) : right.as_integer();
    return x < y ? -1 : x > y;
  }
  if (!left_big && !right_big) {
    const int64_t a = left.as_integer(), b = right.as_integer();
    return a < b ? -1 : a > b;
  }
  const auto negative = [](const Value& v) {
    return v.is(Kind::kBigInteger) ? v.view().front() == '-' : v.as_integer() < 0;
  };
  if (negative(left) != negative(right)) return negative(left) ? -1 : 1;
  const int sign = negative(left) ? -1 : 1;
  if (left_big != right_big) return left_big ? sign : -sign;
  const std::string_view a = left.view(), b = right.view();
  if (a.size() != b.size()) return a.size() < b.size() ? -sign : sign;
  const int order = a.compare(b);
  return sign * (order < 0 ? -1 : order > 0);
}

bool equal_items(const std::vector<Value>& left, const std::vector<Value>& right) {
  if (left.size() != right.size()) return false;
  for (size_t i = 0; i < left.size(); ++i) {
    if (!equals(left[i], right[i])) return false;
  }
  return true;
}

bool equal_dicts(const Dict& left, const Dict& right) {
  if (left.members.size() != right.members.size()) return false;
  for (const auto& [key, value] : left.members) {
    const Value* other = right.find(key);
    if (!other || !equals(value, *other)) return false;
  }
  return true;
}

}  // namespace

bool equals(const Value& left, const Value& right) {
  if (left.is_number() && right.is_number()) return compare_numbers(left, right) == 0;
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return left.view() == right.view();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      return equal_items(left.as<Sequence>().items, right.as<Sequence>().items);
    case Kind::kDict:
      return equal_dicts(left.as<Dict>(), right.as<Dict>());
    default:
      return left.shared() == right.shared();
  }
}

int compare(const Value& left, const Value& right, const char* symbol) {
  require_defined(left);
  require_defined(right);
  if (left.is_number() && right.is_number()) {
    const auto order = compare_numbers(left, right);
    if (order) return *order;
    // NaN: every order is false. The callers ask "< 0" or "> 0" after "<" and ">", so 0 with a
    // strict symbol and the opposite sign with the others gives false.
    return symbol[1] == '\0' ? 0 : symbol[0] == '<' ? 1 : -1;
  }
  if (left.is_string() && right.is_string()) return left.view().compare(right.view());
  if (left.kind() == right.kind() && left.is_sequence()) {
    const auto &a = left.as<Sequence>().items, &b = right.as<Sequence>().items;
    for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
      if (!equals(a[i], b[i])) return compare(a[i], b[i], symbol);
    }
    return a.size() < b.size() ? -1 : a.size() > b.size();
  }
  type_error("'{}' not supported between instances of '{}' and '{}'", symbol, left.type_name(),
             right.type_name());
}

int64_t length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(count_characters(value.view()));
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kRange:
      return static_cast<int64_t>(value.as<Sequence>().items.size());
    case Kind::kDict:
      return static_cast<int64_t>(value.as<Dict>().members.size());
    case Kind::kLoop:
      return value.as<LoopObject>().length();
    default:
      type_error("object of type '{}' has no len()", value.type_name());
  }
}

}  // namespace sluice::chat::jinja
