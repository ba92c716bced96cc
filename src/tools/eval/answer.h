// A model's answer taken apart for judging: its text and its calls in the family's XML form.
//
// Strict where a server is lenient: an item about calls is right only if the model wrote exactly
// the form that its template shows it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::tools {

struct AnswerCall {
  std::string name;
  std::vector<std::pair<std::string, std::string>> arguments;  // as written, in order

  friend bool operator==(const AnswerCall&, const AnswerCall&) = default;
};

struct Answer {
  std::string text;  // before the first call, without white space at its ends
  std::vector<AnswerCall> calls;
  bool malformed = false;  // something began like a call and is none, or follows the calls
};

// `content` is what follows the thought.
Answer read_answer(std::string_view content);

}  // namespace sluice::tools
