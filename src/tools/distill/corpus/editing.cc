#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "tools/distill/corpus/answer_styles.h"
#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/subjects.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

constexpr const char* kOpeners[] = {"",       "Please: ",  "An edit. ", "Hello. ",
                                    "Next: ", "Do this. ", "Help me. ", "Now: "};

std::string upper_case(std::string text) {
  for (char& character : text)
    if (character >= 'a' && character <= 'z') character = static_cast<char>(character - 32);
  return text;
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

// Different words of one list.
template <typename List>
std::vector<std::string> distinct(Draw& draw, const List& list, size_t count) {
  std::vector<std::string> words;
  while (words.size() < count) {
    std::string word = draw.pick(list);
    if (std::find(words.begin(), words.end(), word) == words.end())
      words.push_back(std::move(word));
  }
  return words;
}

Sample edited(Draw& draw, std::string user, std::string thought, std::string answer) {
  Json check = check_of("text", answer);
  return spoken(draw, std::move(user), std::move(thought), std::move(answer), std::move(check), 40);
}

template <size_t kForms>
std::string asked(Draw& draw, std::string_view family, const char* const (&forms)[kForms],
                  std::initializer_list<std::pair<std::string_view, std::string>> values) {
  const auto parts = draw.wording(family, {std::size(kOpeners), kForms});
  return kOpeners[parts[0]] + fill(forms[parts[1]], values);
}

// "The small fox sees the cat." in parts, so that one can be exchanged.
std::string sentence(const std::vector<std::string>& words) {
  return fmt::format("The {} {} {} the {}.", words[0], words[1], words[2], words[3]);
}

Sample replace_word(Draw& draw) {
  constexpr const char* kForms[] = {
      "Replace \"{a}\" by \"{b}\": {x}", "Change \"{a}\" to \"{b}\" in: {x}",
      "Write \"{b}\" instead of \"{a}\": {x}", "Copy this with \"{b}\" for \"{a}\": {x}"};
  const auto nouns = draw.chance(50) ? distinct(draw, kAnimals, 3) : distinct(draw, kWords, 3);
  std::vector<std::string> words = {draw.pick(kAdjectives), nouns[0], draw.pick(kVerbs), nouns[1]};
  const std::string before = sentence(words);
  const size_t place = draw.below(2) == 0 ? 1 : 3;
  const std::string old = words[place];
  words[place] = nouns[2];
  return edited(draw, asked(draw, "replace", kForms, {{"a", old}, {"b", nouns[2]}, {"x", before}}),
                fmt::format("{} becomes {}.", old, nouns[2]), sentence(words));
}

Sample copy(Draw& draw) {
  constexpr const char* kForms[] = {"Repeat: {x}", "Copy this: {x}", "Say exactly: {x}",
                                    "Write the same: {x}"};
  const size_t count = static_cast<size_t>(draw.between(3, 6));
  std::string text;
  switch (draw.below(3)) {
    case 0:
      text = joined(distinct(draw, kWords, count), " ");
      break;
    case 1: {
      // Numbers to copy are what word problems and calls need first.
      std::vector<std::string> numbers;
      for (size_t i = 0; i < count; ++i) numbers.push_back(std::to_string(draw.between(1, 999)));
      text = joined(numbers, " ");
      break;
    }
    default: {
      const auto animals = distinct(draw, kAnimals, 2);
      text = sentence({draw.pick(kAdjectives), animals[0], draw.pick(kVerbs), animals[1]});
    }
  }
  return edited(draw, asked(draw, "copy", kForms, {{"x", text}}), "I copy it.", text);
}

Sample upper(Draw& draw) {
  constexpr const char* kForms[] = {"Write in upper case: {x}", "Upper case: {x}",
                                    "Use capital letters: {x}", "Make this upper case: {x}"};
  const auto words = distinct(draw, kThings, static_cast<size_t>(draw.between(1, 3)));
  const std::string text = joined(words, " ");
  return edited(draw, asked(draw, "upper", kForms, {{"x", text}}), "Capital letters.",
                upper_case(text));
}

Sample list_edit(Draw& draw) {
  constexpr const char* kReverse[] = {"Reverse the list: {x}", "Turn this list around: {x}",
                                      "Write backwards, word by word: {x}",
                                      "List from last to first: {x}"};
  constexpr const char* kSort[] = {"Sort the list: {x}", "Put in order of the alphabet: {x}",
                                   "Sort from A to Z: {x}", "Order these words: {x}"};
  constexpr const char* kLast[] = {"What is the last word? {x}", "Name the last of: {x}",
                                   "Give the last word of the list: {x}", "Which word ends: {x}"};
  constexpr const char* kFirst[] = {"What is the first word? {x}", "Name the first of: {x}",
                                    "Give the first word of the list: {x}",
                                    "Which word begins: {x}"};
  auto words = distinct(
      draw,
      draw.chance(70) ? std::span<const char* const>(kWords) : std::span<const char* const>(kNames),
      static_cast<size_t>(draw.between(3, 5)));
  const std::string text = joined(words, ", ");
  switch (draw.below(4)) {
    case 0:
      std::reverse(words.begin(), words.end());
      return edited(draw, asked(draw, "reverse", kReverse, {{"x", text}}),
                    fmt::format("The last is {}.", words.front()), joined(words, ", "));
    case 1:
      std::sort(words.begin(), words.end());
      return edited(draw, asked(draw, "sort", kSort, {{"x", text}}),
                    fmt::format("The first is {}.", words.front()), joined(words, ", "));
    case 2:
      return edited(draw, asked(draw, "last", kLast, {{"x", text}}), "I look at the end.",
                    words.back());
    default:
      return edited(draw, asked(draw, "first", kFirst, {{"x", text}}), "I look at the beginning.",
                    words.front());
  }
}

}  // namespace

Sample word_edit(Draw& draw) {
  constexpr Sample (*kEdits[])(Draw&) = {replace_word, copy, copy, upper, list_edit, list_edit};
  return draw.pick(kEdits)(draw);
}

Sample code_edit(Draw& draw) {
  constexpr const char* kRename[] = {"Rename {a} to {b}:\n{x}", "Change the name {a} to {b}:\n{x}",
                                     "In this code {a} must be {b}:\n{x}", "Use {b} for {a}:\n{x}"};
  constexpr const char* kRepair[] = {"Repair this line:\n{x}", "Fix the code:\n{x}",
                                     "What is missing here?\n{x}", "Correct this:\n{x}"};
  constexpr const char* kLines[] = {"def {n}(x):\n    return x + {v}",
                                    "for {n} in range({v}):\n    print({n})",
                                    "int {n} = {v};",
                                    "if {n} > {v}:\n    print({n})",
                                    "while {n} < {v}:\n    {n} = {n} + 1",
                                    "std::vector<int> {n}({v});"};
  constexpr const char* kVariables[] = {"count", "total", "value", "index",
                                        "size",  "limit", "first", "result"};
  const std::string line = draw.pick(kLines), value = std::to_string(draw.between(1, 99));
  const auto names = distinct(draw, kVariables, 2);
  const auto code = [&](const std::string& name) {
    return fill(line, {{"n", name}, {"v", value}});
  };
  if (draw.chance(60)) {
    return edited(
        draw,
        asked(draw, "rename", kRename, {{"a", names[0]}, {"b", names[1]}, {"x", code(names[0])}}),
        fmt::format("{} becomes {}.", names[0], names[1]), code(names[1]));
  }
  const std::string right = code(names[0]);
  std::string wrong = right;
  const char lost = right.find(':') != std::string::npos && right.back() != ';' ? ':' : ';';
  wrong.erase(wrong.find(lost), 1);
  return edited(draw, asked(draw, "repair", kRepair, {{"x", wrong}}),
                fmt::format("The {} is missing.", lost), right);
}

Sample json_record(Draw& draw) {
  constexpr const char* kForms[] = {"As JSON: {x}", "Write this as JSON: {x}",
                                    "Give me a JSON object for: {x}", "Turn into JSON: {x}",
                                    "{x} Answer in JSON."};
  const std::string name = any_name(draw);
  const int64_t number = draw.between(2, 99);
  Json value = Json::object();
  std::string told;
  switch (draw.below(3)) {
    case 0: {
      const std::string city = any_city(draw);
      told = fmt::format("{} is {} years old and lives in {}.", name, number, city);
      value.set("name", name);
      value.set("age", number);
      value.set("city", city);
      break;
    }
    case 1: {
      const std::string thing = any_thing(draw), colour = draw.pick(kColours);
      told = fmt::format("{} has {} {} {}.", name, number, colour, thing);
      value.set("name", name);
      value.set("count", number);
      value.set("colour", colour);
      value.set("item", thing);
      break;
    }
    default: {
      const auto things = distinct(draw, kThings, static_cast<size_t>(draw.between(2, 3)));
      told = fmt::format("{} buys {}.", name, joined(things, " and "));
      Json list = Json::array();
      for (const std::string& thing : things) list.push_back(thing);
      value.set("name", name);
      value.set("items", std::move(list));
    }
  }
  Sample sample =
      edited(draw, asked(draw, "json", kForms, {{"x", told}}), "An object.", value.dump());
  sample.check = check_of("json", value);
  return sample;
}

}  // namespace sluice::tools::corpus
