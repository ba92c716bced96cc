// Text of an answer as it may be shown: stop strings are found across token borders and never shown
// in part.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::runtime {

class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);

  // Takes new text and returns what can no longer become part of a stop string. After a match
  // nothing more comes.
  std::string push(std::string_view text);
  std::string finish();  // what was held back, if no match

  const std::optional<std::string>& matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::optional<std::string> matched_;
};

}  // namespace sluice::runtime
