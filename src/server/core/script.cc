#include "server/core/script.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/core/fields.h"

namespace sluice::server {
namespace {

Result<ScriptedAnswer> parse_answer(const Json& value, size_t index,
                                    const tokenizer::Tokenizer& tokenizer, TokenId end_of_turn) {
  const std::string where = fmt::format("answers[{}]", index);
  if (!value.is_object())
    return bad_input(where, fmt::format("is a {}, an object was expected", value.kind_name()));
  ScriptedAnswer answer;
  Fields fields(value, where);
  if (const Json* conditions = fields.object("when")) {
    Fields when(*conditions, where + ".when");
    answer.last_user_contains = when.string("last_user_contains");
    answer.turn = when.integer("turn", {.low = 1});
    answer.tool = when.string("tool");
    for (const std::string& name : when.unknown()) fields.complain(bad_input(name, "is unknown"));
    if (!when.status().ok()) return when.status().error();
  }
  const auto text = fields.string("text");
  answer.ids = fields.ids("ids", tokenizer.size());
  if (text) {
    SLUICE_ASSIGN(answer.ids, tokenizer.encode(*text));
  } else if (value.find("ids") == nullptr) {
    return bad_input(where, "has neither text nor ids");
  }
  if (!fields.boolean("open").value_or(false)) answer.ids.push_back(end_of_turn);
  answer.step_ms = fields.real("step_ms", {.low = 0, .high = 60'000}).value_or(0);
  answer.fail_after = fields.integer("fail_after", {.low = 0});
  if (const Json* groups = fields.array("draft_groups")) {
    for (const Json& group : groups->items()) {
      const auto count = integral(group);
      if (!count || *count < 1)
        return bad_input(where + ".draft_groups", group.dump() + " is not a number of tokens");
      answer.draft_groups.push_back(*count);
    }
  }
  for (const std::string& name : fields.unknown()) return bad_input(name, "is unknown");
  SLUICE_TRY(fields.status());
  return answer;
}

}  // namespace

Result<Script> parse_script(const Json& file, const tokenizer::Tokenizer& tokenizer,
                            TokenId end_of_turn) {
  const Json* answers = file.find("answers");
  if (answers == nullptr || !answers->is_array() || answers->items().empty())
    return bad_input("script", "has no array \"answers\"");
  Script script;
  for (size_t i = 0; i < answers->items().size(); ++i) {
    SLUICE_ASSIGN(auto answer, parse_answer(answers->items()[i], i, tokenizer, end_of_turn));
    script.answers.push_back(std::move(answer));
  }
  return script;
}

const ScriptedAnswer* Script::choose(const ConversationFacts& facts) const {
  for (const ScriptedAnswer& answer : answers) {
    if (answer.last_user_contains &&
        facts.last_user.find(*answer.last_user_contains) == std::string::npos)
      continue;
    if (answer.turn && *answer.turn != facts.turn) continue;
    if (answer.tool &&
        std::find(facts.tools.begin(), facts.tools.end(), *answer.tool) == facts.tools.end())
      continue;
    return &answer;
  }
  return nullptr;
}

}  // namespace sluice::server
