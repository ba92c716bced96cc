// JSON as a stream of events, for headers too large or too hostile to be built as a tree.
//
// A 100 MB header parsed into base/json.h values would take gigabytes before the first rule is
// checked; here each value is judged as it is read and the first wrong one ends the parse.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::checkpoint {

// Receives one event per JSON item; an error ends the parse. Strings are decoded (escapes
// resolved), and so are keys: "\u0061" and "a" arrive as the same text.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual Status begin_object() = 0;
  virtual Status end_object() = 0;
  virtual Status begin_array() = 0;
  virtual Status end_array() = 0;
  virtual Status key(std::string text) = 0;
  virtual Status string(std::string text) = 0;
  virtual Status number(std::string_view spelling) = 0;
  virtual Status literal(std::string_view spelling) = 0;  // true, false, null
};

// Why walk_json stopped before the end.
struct JsonStop {
  enum class Kind { kEvents, kSyntax, kTooDeep };
  Kind kind = Kind::kSyntax;
  Error error;  // kEvents: the receiver's error; otherwise only `why` is set
};

struct JsonWalk {
  std::optional<JsonStop> stop;  // nothing: one whole value was read
  size_t used = 0;  // bytes of `text` up to what follows the value and white space, or to the stop
};

// Reads one value from the start of `text`. What follows the value is left to the caller.
JsonWalk walk_json(std::string_view text, size_t max_depth, JsonEvents& events);

}  // namespace sluice::checkpoint
