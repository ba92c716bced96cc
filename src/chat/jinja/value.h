// The values of a template: Python's, as far as a template can see them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"
#include "chat/jinja/text.h"

namespace sluice::chat::jinja {

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBoolean,
  kInteger,  // 64 bits; what is larger keeps its digits as kBigInteger and is never computed with
  kBigInteger,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kView,  // dict.keys(), .values(), .items()
  kRange,
  kIterator,  // what a generator of Python is: may be read once, has no length
  kNamespace,
  kMacro,
  kFunction,  // a global
  kMethod,    // bound to its object
  kLoop,
  kCycler,
  kJoiner,
};

// Shared, and immutable once made, except kNamespace, kLoop, kIterator, kCycler and kJoiner.
struct Object {
  virtual ~Object() = default;
  // Containers within containers below this one. Bounded at construction, so that no walk over a
  // value (printing, comparing, destroying) can exhaust the stack.
  int depth = 0;
  // What such a walk costs, in steps; saturates. Values may share parts, so it can exceed what is
  // stored.
  uint64_t weight = 1;
};

struct UndefinedObject;
struct Sequence;
struct Dict;
struct NamespaceObject;
struct MacroObject;
struct FunctionObject;
struct MethodObject;
struct LoopObject;
struct CyclerObject;
struct JoinerObject;

class Value {
 public:
  Value() = default;  // undefined, without a name

  static Value none(bool data = false);
  static Value boolean(bool value, bool data = false);
  static Value integer(int64_t value, bool data = false);
  static Value real(double value, bool data = false);
  // Decimal digits with an optional minus sign; becomes kInteger if it fits.
  static Value integer_from_digits(std::string_view digits, bool data);
  static Value string(Text text);
  static Value string(std::string_view text, bool data = false) { return string(Text(text, data)); }
  static Value markup(Text text);  // markupsafe.Markup: `safe` and `escape` make it
  static Value sequence(Kind kind, std::vector<Value> items, std::string label = {});
  static Value list(std::vector<Value> items) { return sequence(Kind::kList, std::move(items)); }
  static Value tuple(std::vector<Value> items) { return sequence(Kind::kTuple, std::move(items)); }
  static Value iterator(std::vector<Value> items, std::string label = "generator") {
    return sequence(Kind::kIterator, std::move(items), std::move(label));
  }
  // An iterator over what `pull` gives; `held` are the values it works on, which bound its depth.
  static Value lazy(const std::vector<Value>& held, std::function<bool(Value&)> pull);
  static Value object(Kind kind, std::shared_ptr<Object> object);
  // The whole tree is marked as data.
  static Value from_json(const Json& json);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_whole() const {
    return is(Kind::kInteger) || is(Kind::kBoolean);
  }  // Python's bool is an int
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_markup() const { return is_string() && markup_; }
  bool is_number() const { return kind_ >= Kind::kBoolean && kind_ <= Kind::kFloat; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }
  bool is_callable() const;

  // Whether a scalar's or a container's own characters count as data when printed.
  bool from_data() const { return data_; }
  void mark_data(bool data) { data_ = data; }

  // Each checks the kind.
  bool as_boolean() const;
  int64_t as_integer() const;  // kInteger or kBoolean
  double as_real() const;      // any number
  const Text& text() const;    // kString, or the digits of kBigInteger
  std::string_view view() const { return text().view(); }

  template <typename T>
  T& as() const {
    return static_cast<T&>(*object_);
  }
  const std::shared_ptr<Object>& shared() const { return object_; }
  int depth() const { return object_ ? object_->depth : 0; }
  uint64_t weight() const { return object_ ? object_->weight : 1 + text_.size() / 64; }

  const char* type_name() const;  // Python's: "str", "NoneType"
  std::string type_repr() const;  // Jinja's in messages: "str object", "None"

 private:
  Kind kind_ = Kind::kUndefined;
  bool data_ = false;
  bool markup_ = false;
  union {
    bool boolean_;
    int64_t integer_ = 0;
    double real_;
  };
  Text text_;
  std::shared_ptr<Object> object_;
};

// Why something is undefined; the sentence is made only when somebody trips over it.
struct UndefinedObject : Object {
  const char* exception = "UndefinedError";
  std::string hint;        // the whole message, if set
  bool has_owner = false;  // an element of something, or a plain name
  std::string owner;       // type_repr of that something
  std::string name;        // repr'd already if it is not a name
  bool name_is_text = true;
  std::string message() const;
};

// Lists, tuples, views, ranges, iterators.
struct Sequence : Object {
  std::vector<Value> items;
  std::string label;  // kView, kRange, kIterator: what Python would print

  // kIterator: the items come from `items`, then from `pull`, which fails where a generator's body
  // would: when an item is asked for, not when the generator is made.
  size_t position = 0;  // items before it have been read
  std::function<bool(Value&)> pull;
  bool next(Value& item);  // false at the end
};

struct Dict : Object {
  using Member = std::pair<Value, Value>;
  std::vector<Member>
      members;  // in order of insertion, keys unique in Python's sense (1 == 1.0 == True)

  const Value* find(std::string_view key) const;
  const Value* find(
      const Value& key) const;       // a list or dict as key raises TypeError, as in Python
  void set(Value key, Value value);  // the last value wins, the first position stays

 private:
  const Dict::Member* find_text(std::string_view key) const;
  // Hash of a text key -> position, once there are more than a few members. Neither views nor
  // pointers: a member may move, and so may the buffer behind its text.
  mutable std::unordered_multimap<size_t, size_t> by_hash_;
  mutable size_t indexed_ = 0;
};

struct NamespaceObject : Object {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
};

struct Statement;
struct Scope;

struct MacroObject : Object {
  const Statement* definition = nullptr;  // borrowed from the parsed template
  std::string name;                       // empty: a caller
  std::shared_ptr<Scope> closure;
};

// A call's arguments, already evaluated.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

class Interpreter;

struct FunctionObject : Object {
  const char* name = "";
  Value (*call)(Interpreter&, Arguments&) = nullptr;
};

struct MethodObject : Object {
  Value self;
  std::string name;
};

// `loop`: pulls one item at a time, since the filter of a `for` sees what the body did for the
// items before.
struct LoopObject : Object {
  std::function<bool(Value&)> pull;  // empty once the loop is over
  std::optional<int64_t> known_length;
  std::deque<Value> ahead;  // pulled early by `last`, `nextitem` or `length`
  int64_t index0 = -1;
  int depth0 = 0;
  Value current, before;
  std::optional<std::vector<Value>> last_changed;

  bool advance();  // to the next item; false at the end
  bool peek();     // whether there is a next item
  int64_t length();
};

struct CyclerObject : Object {
  std::vector<Value> items;
  size_t position = 0;
};
struct JoinerObject : Object {
  Value separator;
  bool used = false;
};

// Python's truth value.
bool truthy(const Value& value);
// Python's ==. Never fails.
bool equals(const Value& left, const Value& right);
// Negative, zero or positive; `symbol` ("<", ...) for the TypeError of values that have no order.
int compare(const Value& left, const Value& right, const char* symbol);
// len(); TypeError for what has none.
int64_t length_of(const Value& value);

// Makes the error of using an undefined value.
[[noreturn]] void raise_undefined(const Value& undefined);
// Raises if the value is undefined.
inline void require_defined(const Value& value) {
  if (value.is_undefined()) raise_undefined(value);
}

Value undefined_variable(std::string_view name);
Value undefined_hint(std::string hint, const char* exception = "UndefinedError");
Value undefined_attribute(const Value& owner, const Value& name);

inline constexpr int kMaxValueDepth = 100;
inline constexpr uint64_t kMaxWeight = uint64_t{1} << 40;

}  // namespace sluice::chat::jinja
