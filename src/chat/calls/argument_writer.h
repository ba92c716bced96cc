// The arguments of one call as JSON text, in fragments (serving-tools.md 3.3, 3.4).
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace sluice::chat {

// What was appended to `out` since the beginning is at any time a prefix of a JSON object.
class ArgumentWriter {
 public:
  void begin(std::string& out);  // '{'
  // A member with its value as JSON text.
  void member(std::string_view key, std::string_view json, std::string& out);
  // A string member in pieces of whole characters.
  void begin_string(std::string_view key, std::string& out);
  void append_string(std::string_view text, std::string& out);
  void end_string(std::string& out);
  void end(std::string& out);  // '}'

  // What completes the object as it stands.
  std::string completion() const;

 private:
  void key(std::string_view key, std::string& out);

  bool open_ = false, in_string_ = false, first_ = true;
};

}  // namespace sluice::chat
