#include "tools/distill/corpus/answer_styles.h"

namespace sluice::tools::corpus {

Sample worked(Draw& draw, std::string user, std::string working, std::string answer, Json check) {
  constexpr int kPercentOff = 10;
  const bool thinking = !draw.chance(kPercentOff);
  if (!thinking) {
    answer = working + "\n" + answer;
    working.clear();
  }
  Sample sample =
      question(std::move(user), std::move(working), std::move(answer), std::move(check));
  sample.thinking = thinking;
  return sample;
}

Sample spoken(Draw& draw, std::string user, std::string thought, std::string answer, Json check,
              int percent_off) {
  const bool thinking = !draw.chance(percent_off);
  if (!thinking) thought.clear();
  Sample sample =
      question(std::move(user), std::move(thought), std::move(answer), std::move(check));
  sample.thinking = thinking;
  return sample;
}

}  // namespace sluice::tools::corpus
