// What the model's output says, piece by piece: the one language of streams and whole answers.
#pragma once

#include <string>

namespace sluice::chat {

// Events come in order; texts of one channel belong together. Whole characters only.
//
// A call is kToolStart, any number of kToolArguments, kToolEnd; calls do not interleave. The joined
// fragments of a call are at any time a prefix of a JSON object, and the whole object at kToolEnd.
// kToolEnd is missing only if the output was cut within the call (finish(kCut)). Ids of calls are
// the protocol's business.
struct OutputEvent {
  enum class Kind { kReasoning, kContent, kToolStart, kToolArguments, kToolEnd, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;  // reasoning, content; the function's name; a fragment of arguments
  int call = -1;     // of the tool events: dense from 0

  friend bool operator==(const OutputEvent&, const OutputEvent&) = default;
};

}  // namespace sluice::chat
