// Where in a prompt its recurrent state is worth keeping.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::runtime {

// What is known of a prompt before it is read on from `begin`.
struct PromptOutline {
  int64_t begin = 0, length = 0;     // rows [begin, length) will be read
  std::span<const int64_t> borders;  // ends of messages and tool results, ascending, in tokens
  int64_t branch = 0;                // where it leaves what the tree knows; 0: nowhere
};

// Positions in (begin, length], multiples of ops::kGrid, ascending, at most `most` of them. Each
// costs a step border and a state, so they are taken in the order of the chance that another prompt
// goes on from there:
//   1. the last border (an answer rendered anew parts from the prompt behind it) and the end,
//   2. the branch, which two prompts have shared already,
//   3. the first border: system prompt and tools, which conversations share,
//   4. a ladder of distances 1024, 2048, 4096, ... back from the end, each on the border below it
//      if that is no further than half the distance: whoever parts from the prompt d tokens before
//      its end then reads about 2 d anew, not everything,
//   5. the other borders that are 512 tokens and more from any place, the latest first.
std::vector<int64_t> checkpoint_places(const PromptOutline& prompt, int64_t most);

}  // namespace sluice::runtime
