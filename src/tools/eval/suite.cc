#include "tools/eval/suite.h"

#include <fmt/format.h>

namespace sluice::tools {
namespace {

std::string text_member(const Json& line, const char* key) {
  const Json* value = line.find(key);
  return value != nullptr && value->is_string() ? value->string() : std::string();
}

void add_counts(std::vector<int64_t>& sums, const std::vector<int64_t>& counts) {
  if (sums.size() < counts.size()) sums.resize(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) sums[i] += counts[i];
}

}  // namespace

Result<SuiteItem> read_suite_item(const Json& line) {
  const Json* messages = line.find("messages");
  if (messages == nullptr || !messages->is_array() || messages->items().empty())
    return bad_input("messages", "is not an array with a message");
  const auto& all = messages->items();
  size_t count = all.size();
  if (const Json* prompt = line.find("prompt")) {
    const auto value = prompt->as_uint64();
    if (!value || *value == 0 || *value > all.size())
      return bad_input("prompt", fmt::format("is not 1 to {}, the number of messages", all.size()));
    count = static_cast<size_t>(*value);
  }
  const Json* check = line.find("check");
  if (check == nullptr)
    return bad_input("check", "is missing", "Only items with a check are judged");
  SLUICE_ASSIGN(AnswerCheck answer_check, AnswerCheck::read(*check));

  Json request = Json::object();
  request.set("messages",
              Json::Array(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)));
  for (const char* key : {"tools", "chat_template_kwargs"}) {
    if (const Json* value = line.find(key)) request.set(key, *value);
  }
  return SuiteItem{text_member(line, "id"), text_member(line, "kind"), std::move(request),
                   std::move(answer_check)};
}

void SuiteScores::add(const std::string& kind, const ItemOutcome& outcome) {
  KindScore& score = kinds_[kind];
  ++score.items;
  score.right += outcome.right ? 1 : 0;
  score.thoughts += outcome.thinks ? 1 : 0;
  score.closed += outcome.thinks && outcome.thought_closed ? 1 : 0;
  add_counts(proposed_, outcome.drafts_proposed);
  add_counts(accepted_, outcome.drafts_accepted);
}

KindScore SuiteScores::total() const {
  KindScore sum;
  for (const auto& [kind, score] : kinds_) {
    sum.items += score.items;
    sum.right += score.right;
    sum.thoughts += score.thoughts;
    sum.closed += score.closed;
  }
  return sum;
}

}  // namespace sluice::tools
