// A drill: which name stands before each of these values, in plain lists and in lists of tools.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/made_up_names.h"
#include "tools/distill/corpus/subjects.h"
#include "tools/distill/corpus/toolbox.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

using Maker = std::string (*)(Draw&);

std::string any_word(Draw& draw) {
  return draw.chance(60) ? draw.pick(kWords) : made_up_word(draw);
}
std::string common_word(Draw& draw) { return draw.pick(kWords); }
std::string number(Draw& draw) { return std::to_string(draw.between(2, 999)); }
std::string tool_name(Draw& draw) { return made_up_name(draw); }
std::string tool_description(Draw& draw) {
  return any_description(draw, static_cast<Tool>(draw.below(kTools)));
}
// The look for the name starts from the value's last token, and a full stop is the same in all.
std::string without_stop(std::string value) {
  if (value.ends_with('.')) value.pop_back();
  return value;
}

std::string phrase(Draw& draw) {
  std::string text = any_word(draw);
  for (int64_t left = draw.between(1, 3); left > 0; --left) text += " " + any_word(draw);
  return text;
}

// One of several makers, each with its share in percent; the last has what is left.
struct Share {
  int percent;
  Maker make;
};
Maker pick_maker(Draw& draw, std::initializer_list<Share> shares) {
  auto roll = static_cast<int>(draw.below(100));
  for (const Share& share : shares) {
    if (roll < share.percent) return share.make;
    roll -= share.percent;
  }
  return std::data(shares)[shares.size() - 1].make;
}

// No two alike, but where the maker has too few.
std::vector<std::string> several(Draw& draw, Maker make, size_t count) {
  std::vector<std::string> all;
  for (int tries = 0; all.size() < count; ++tries) {
    std::string text = make(draw);
    if (tries > 200 || std::find(all.begin(), all.end(), text) == all.end())
      all.push_back(std::move(text));
  }
  return all;
}

std::vector<std::string> letters_from_a(size_t count) {
  std::vector<std::string> all;
  for (size_t i = 0; i < count; ++i) all.emplace_back(1, static_cast<char>('A' + i));
  return all;
}

struct Turn {
  std::string user, answer;
};

Turn one_turn(Draw& draw) {
  constexpr size_t kRows[] = {2, 2, 3, 3, 4, 4, 5, 6, 7, 8};
  constexpr const char* kOpeners[] = {"", "Please: ", "Hello. ", "Next: ", "Help me. ", "Now: "};
  constexpr const char* kForms[] = {
      "Which have {x}?", "Give the names of {x}.", "{x}?",
      "Find {x}.",       "Where are {x}?",         "What stands before {x}?"};
  constexpr const char* kMarks[] = {") ", ". ", ": ", " = "};
  const size_t rows = draw.pick(kRows);
  const bool lettered = draw.chance(18);
  const Maker label_maker =
      pick_maker(draw, {{50, tool_name}, {28, common_word}, {15, made_up_word}, {7, number}});
  const Maker value_maker = pick_maker(
      draw, {{35, tool_description}, {20, phrase}, {15, number}, {20, any_word}, {10, any_name}});
  const bool long_values = value_maker == tool_description || value_maker == phrase;
  const std::vector<std::string> names =
      lettered ? letters_from_a(rows) : several(draw, label_maker, rows);
  const std::vector<std::string> values = several(draw, value_maker, rows);

  // As the template writes tools, whole or its beginning; or a plain list.
  const bool as_tools = !lettered && draw.chance(long_values ? 65 : 15);
  const bool whole = draw.chance(50);
  const char* mark = draw.pick(kMarks);
  std::string list;
  for (size_t i = 0; i < rows; ++i) {
    if (i > 0) list += "\n";
    if (!as_tools) {
      list += names[i] + mark + values[i];
      continue;
    }
    const std::string definition =
        fmt::format(R"({{"name": "{}", "description": "{}"}})", names[i], values[i]);
    list +=
        whole ? fmt::format(R"({{"type": "function", "function": {}}})", definition) : definition;
  }

  std::vector<size_t> order;
  for (size_t i = 0; i < rows; ++i) order.push_back(i);
  for (size_t i = rows; i > 1; --i) std::swap(order[i - 1], order[draw.below(i)]);
  if (draw.chance(50))
    order.resize(static_cast<size_t>(draw.between(1, static_cast<int64_t>(rows))));
  std::string asked, answer;
  for (const size_t row : order) {
    const std::string value = without_stop(values[row]);
    asked += (asked.empty() ? "" : ", ") + value;
    answer += fmt::format("{}{} {}", answer.empty() ? "" : "\n", value, names[row]);
  }
  const auto parts = draw.wording("labels", {std::size(kOpeners), std::size(kForms)});
  const std::string asking = kOpeners[parts[0]] + fill(kForms[parts[1]], {{"x", asked}});
  return {draw.chance(30) ? asking + "\n" + list : list + "\n" + asking, answer};
}

}  // namespace

// `letters` with any name in the letters' place. From letters, which are learned in a thousand
// steps, the way leads over words and made-up names to names of tools; asked for names of tools at
// once (tool_names.cc), a model was still guessing after 2,400 steps.
Sample labels(Draw& draw) {
  Sample sample;
  sample.thinking = draw.chance(40);
  sample.keep_thoughts = true;
  for (int64_t left = draw.split() == Split::kTrain ? draw.between(1, 4) : 1; left > 0; --left) {
    const Turn turn = one_turn(draw);
    sample.messages.push_back(user_message(turn.user));
    sample.prompt = sample.messages.items().size();
    sample.messages.push_back(
        assistant_message(sample.thinking ? "I look them up." : "", turn.answer));
    sample.check = check_of("text", turn.answer);
  }
  return sample;
}

}  // namespace sluice::tools::corpus
