// Arguments of a call that are still coming.
#pragma once

#include <string>
#include <string_view>

namespace sluice::test {

// Whether something can be written behind `text` that makes it a JSON object: what SDKs that read
// arguments while they come ask of each piece.
inline bool begins_json(std::string_view text) {
  std::string closing;
  bool in_string = false, escaped = false;
  for (const char c : text) {
    if (in_string) {
      if (escaped) {
        escaped = false;
      } else if (c == '\\') {
        escaped = true;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      closing += c == '{' ? '}' : ']';
    } else if (c == '}' || c == ']') {
      if (closing.empty() || closing.back() != c) return false;
      closing.pop_back();
    }
  }
  return text.empty() || text.front() == '{';
}

}  // namespace sluice::test
