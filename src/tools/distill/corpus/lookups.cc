#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/subjects.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

constexpr int kPercentOff = 60;
constexpr const char* kOpeners[] = {"", "Please: ", "Hello. ", "Next: ", "Help me. ", "Now: "};

std::string any_word(Draw& draw) { return draw.pick(kWords); }
std::string any_number(Draw& draw) { return std::to_string(draw.between(2, 999)); }
std::string any_weather(Draw& draw) { return draw.pick(kWeathers); }

// Turns of one conversation; thinking is on or off for all of them.
class Turns {
 public:
  explicit Turns(Draw& draw) : thinking_(!draw.chance(kPercentOff)) {}

  void add(std::string user, std::string thought, const std::string& answer) {
    sample_.messages.push_back(user_message(std::move(user)));
    sample_.prompt = sample_.messages.items().size();
    sample_.messages.push_back(assistant_message(thinking_ ? std::move(thought) : "", answer));
    sample_.check = check_of("text", answer);
  }

  Sample finish() {
    sample_.thinking = thinking_;
    sample_.keep_thoughts = true;
    return std::move(sample_);
  }

 private:
  bool thinking_;
  Sample sample_;
};

int64_t turns_of(Draw& draw, int64_t most) {
  return draw.split() == Split::kTrain ? draw.between(1, most) : 1;
}

// Within a digit or two of `centre`.
std::string near_number(Draw& draw, int64_t centre) {
  constexpr int64_t kSteps[] = {0, 1, -1, 2, -2, 10, -10, 20, -20, 100, -100, 11, 9};
  return std::to_string(std::max<int64_t>(0, centre + draw.pick(kSteps)));
}

// 0 .. count - 1 in any order.
std::vector<size_t> shuffled(Draw& draw, size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[draw.below(i)]);
  return order;
}

// Who has what: keys and values, none twice.
struct Table {
  std::vector<std::string> keys, values;

  Table(Draw& draw, size_t rows, bool lettered) {
    struct Columns {
      std::string (*key)(Draw&);
      std::string (*value)(Draw&);
    };
    constexpr Columns kColumns[] = {
        {any_name, phone_number}, {any_thing, any_number}, {any_name, any_city},
        {any_city, any_number},   {any_word, any_word},    {made_up_word, made_up_word},
        {any_name, any_number},   {any_city, any_weather}, {any_name, any_event}};
    const Columns& columns = draw.pick(kColumns);
    std::set<std::string> used;
    const auto fresh = [&](std::string (*any)(Draw&)) {
      for (int tries = 0;; ++tries) {
        std::string text = any(draw);
        // Six kinds of weather are soon used up.
        if (used.insert(text).second || tries > 20) return text;
      }
    };
    for (size_t i = 0; i < rows; ++i) {
      keys.push_back(lettered ? std::string(1, static_cast<char>('A' + i)) : fresh(columns.key));
      values.push_back(fresh(columns.value));
    }
  }

  bool unique(const std::string& value) const {
    return std::count(values.begin(), values.end(), value) == 1;
  }
};

}  // namespace

Sample lookup(Draw& draw) {
  constexpr const char* kStarts[] = {"", "A list.\n", "Look at this:\n",
                                     "These belong together:\n"};
  constexpr const char* kMarks[] = {": ", " = ", ") ", ". "};
  constexpr const char* kForward[] = {"What stands behind {x}?", "Look up {x}.",
                                      "What belongs to {x}?", "{x}?"};
  constexpr const char* kBackward[] = {"What stands before {x}?", "Where is {x}?",
                                       "Which one has {x}?", "What leads to {x}?"};
  const bool lettered = draw.chance(40);
  const auto rows = static_cast<size_t>(lettered ? draw.between(3, 5) : draw.between(3, 8));
  const Table table(draw, rows, lettered);
  const auto layout = draw.wording("lookup_list", {std::size(kStarts), std::size(kMarks)});
  std::string list = kStarts[layout[0]];
  for (size_t i = 0; i < rows; ++i)
    list += table.keys[i] + kMarks[layout[1]] + table.values[i] + "\n";
  Turns turns(draw);
  for (int64_t i = turns_of(draw, 4); i > 0; --i) {
    const size_t row = draw.below(rows);
    const bool backward = draw.chance(lettered ? 80 : 40) && table.unique(table.values[row]);
    const std::string& asked = backward ? table.values[row] : table.keys[row];
    const std::string& found = backward ? table.keys[row] : table.values[row];
    const auto parts = draw.wording(backward ? "lookup_back" : "lookup",
                                    {std::size(kOpeners), std::size(kForward)});
    const char* form = backward ? kBackward[parts[1]] : kForward[parts[1]];
    turns.add(list + kOpeners[parts[0]] + fill(form, {{"x", asked}}), asked + " " + found, found);
    list.clear();
  }
  return turns.finish();
}

Sample echo(Draw& draw) {
  constexpr const char* kForms[] = {"Repeat: {x}",         "Copy this: {x}", "Say exactly: {x}",
                                    "Write the same: {x}", "Once more: {x}", "Type this: {x}"};
  constexpr std::string (*kParts[])(Draw&) = {made_up_word, any_word,  any_number, phone_number,
                                              any_name,     any_thing, clock_time, any_file};
  constexpr const char* kBetween[] = {" ", ", ", "; ", "\n"};
  Turns turns(draw);
  for (int64_t i = turns_of(draw, 3); i > 0; --i) {
    const bool mixed = draw.chance(40);
    const char* between = draw.pick(kBetween);
    auto any = draw.pick(kParts);
    std::string text;
    // Long ones in training: many labels for few tokens of template.
    const bool is_long = draw.split() == Split::kTrain && draw.chance(50);
    for (int64_t left = is_long ? draw.between(12, 40) : draw.between(3, 12); left > 0; --left) {
      if (mixed) any = draw.pick(kParts);
      text += (text.empty() ? "" : between) + any(draw);
    }
    const auto parts = draw.wording("echo", {std::size(kOpeners), std::size(kForms)});
    turns.add(kOpeners[parts[0]] + fill(kForms[parts[1]], {{"x", text}}), "I copy it.", text);
  }
  return turns.finish();
}

// "463 D", as the working of a choice ends, for every option of lists that look like choices. In a
// choice one label in a hundred is the letter, and at that share the step is not learned.
Sample letters(Draw& draw) {
  constexpr const char* kMarks[] = {") ", ". ", ": "};
  constexpr const char* kForms[] = {"Which letters have {x}?", "Give the letters of {x}.", "{x}?",
                                    "Find {x}.", "Where are {x}?"};
  constexpr std::string (*kParts[])(Draw&) = {any_number,   any_number, any_city, any_word,
                                              made_up_word, any_name,   any_thing};
  Turns turns(draw);
  for (int64_t left = turns_of(draw, 4); left > 0; --left) {
    const auto parts =
        draw.wording("letters", {std::size(kOpeners), std::size(kMarks), std::size(kForms)});
    const auto rows = static_cast<size_t>(draw.chance(60) ? 4 : draw.between(3, 9));
    const auto any = draw.pick(kParts);
    const bool close =
        any == any_number && draw.chance(60);  // differ in one digit, as wrong results do
    const int64_t centre = draw.between(20, 980);
    std::vector<std::string> values;
    while (values.size() < rows) {
      std::string value = close ? near_number(draw, centre) : any(draw);
      if (std::find(values.begin(), values.end(), value) == values.end())
        values.push_back(std::move(value));
    }
    std::string list, asked, answer;
    for (size_t i = 0; i < rows; ++i)
      list += static_cast<char>('A' + i) + (kMarks[parts[1]] + values[i]) + "\n";
    for (const size_t row : shuffled(draw, rows)) {
      asked += (asked.empty() ? "" : ", ") + values[row];
      answer += fmt::format("{}{} {}", answer.empty() ? "" : "\n", values[row],
                            static_cast<char>('A' + row));
    }
    const std::string question = fill(kForms[parts[2]], {{"x", asked}});
    // In front of the question, as lists in `lookup`, or behind it, as in a choice.
    const bool behind = draw.chance(50);
    turns.add(behind ? kOpeners[parts[0]] + question + "\n" + list.substr(0, list.size() - 1)
                     : list + kOpeners[parts[0]] + question,
              "I look them up.", answer);
  }
  return turns.finish();
}

}  // namespace sluice::tools::corpus
