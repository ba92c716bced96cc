// Where a parameter's value ends: the anchored close (serving-tools.md 3.2.1).
//
// Values are raw text without any escape, so "</parameter>" may be data: it closes only if markup
// that can follow a parameter follows it. Other parsers end at the first of several tags and cut a
// file that contains one.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace sluice::chat {

class ValueScanner {
 public:
  enum class Step {
    kMore,    // `c` was taken
    kClosed,  // the value is complete; what was looked at beyond it has to be read again: rest()
    kRetry,   // what was held is data for one character; rest() has to be read again
    kCut,     // the end by a limit: the value stays open
  };

  // `open_names`: the function's parameters that were not given yet. A tag with one of them at the
  // start of a line ends a value that has no closer.
  explicit ValueScanner(std::vector<std::string> open_names) : open_names_(std::move(open_names)) {}

  // Takes the next character of marked text; appends to `value` what is certain to be data.
  Step push(char c, std::string& value);
  const std::string& rest() const { return rest_; }

 private:
  // What `held_` may still become.
  enum class Candidate {
    kNone,
    kTag,             // a part of one of the tags
    kAfterParameter,  // "</parameter>", white space, a part of what anchors it
    kAfterFunction,   // "</function>" at the start of a line, white space
    kAfterWrapper,    // </tool_call>, white space
  };

  Step begin(char c, std::string& value);
  Step extend(char c, std::string& value);
  Step extend_anchor(char c, std::string& value);
  Step tag_complete_or_more(std::string& value);
  Step reject(std::string& value);  // the first character of held_ is data
  Step close(size_t keep);          // held_ from `keep` on is not part of the value's end
  void add_data(char c, std::string& value);

  const std::vector<std::string> open_names_;
  bool first_ = true;       // nothing seen: one line break is markup
  bool line_start_ = true;  // the next character begins a line of the value
  bool newline_ = false;    // a line break that is markup if the value ends here
  int inner_ = 0;           // "<parameter" in the data without its closer
  std::string recent_;      // the data's last characters, to see that
  Candidate candidate_ = Candidate::kNone;
  std::string held_;
  size_t anchor_ = 0;  // where in held_ the anchor begins
  int repeats_ = 0;    // further "</parameter>" in held_
  std::string rest_;
};

}  // namespace sluice::chat
