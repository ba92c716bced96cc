// A suite of questions with checks, and the scores of a model on it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "tools/eval/answer_check.h"

namespace sluice::tools {

struct SuiteItem {
  std::string id, kind;
  Json request;  // messages of the prompt, tools, chat_template_kwargs
  AnswerCheck check;
};

// A line of held_out.jsonl (docs/sprout.md): the first `prompt` messages (without it, all) are the
// prompt. Other members are not looked at.
Result<SuiteItem> read_suite_item(const Json& line);

// How one item went.
struct ItemOutcome {
  bool right = false;
  bool thinks = false;                                    // the prompt opened a thought
  bool thought_closed = false;                            // and the answer closed it
  std::vector<int64_t> drafts_proposed, drafts_accepted;  // by draft position
};

struct KindScore {
  int64_t items = 0, right = 0;
  int64_t thoughts = 0, closed = 0;
};

class SuiteScores {
 public:
  void add(const std::string& kind, const ItemOutcome& outcome);

  const std::map<std::string, KindScore>& kinds() const { return kinds_; }
  KindScore total() const;
  const std::vector<int64_t>& drafts_proposed() const { return proposed_; }
  const std::vector<int64_t>& drafts_accepted() const { return accepted_; }

 private:
  std::map<std::string, KindScore> kinds_;
  std::vector<int64_t> proposed_, accepted_;
};

}  // namespace sluice::tools
