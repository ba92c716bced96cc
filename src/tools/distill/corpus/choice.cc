#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tools/distill/corpus/answer_styles.h"
#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/scratch.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

constexpr size_t kOptions = 4;
constexpr const char* kEndings[] = {"", "\nWhich one is right?", "\nChoose A, B, C or D.",
                                    "\nGive the letter."};
constexpr const char* kMarks[] = {") ", ". ", ": "};

constexpr const char* kNumberQuestions[] = {"What is {q}?",         "{q} = ?",
                                            "How much is {q}?",     "Compute {q}.",
                                            "Which number is {q}?", "Find the value of {q}."};

using Options = std::array<std::string, kOptions>;

// The thought ends with the value and the letter that stands before it: "632 B". The letter is
// found by looking the value up; going through the options instead ("A 622 no") asks for a copy and
// a comparison of each, and a small model copied the result where it should have copied the option.
Sample choice(Draw& draw, std::string asked, const char* mark, const char* ending,
              const Options& options, size_t right, std::string thought) {
  for (size_t i = 0; i < kOptions; ++i) {
    const char letter = static_cast<char>('A' + i);
    asked += fmt::format("\n{}{}{}", letter, mark, options[i]);
  }
  const std::string letter(1, static_cast<char>('A' + right));
  thought += fmt::format("\n{} {}", options[right], letter);
  return worked(draw, asked + ending, std::move(thought), fmt::format("The answer is {}.", letter),
                check_of("letter", letter));
}

// Wrong results as people make them: a digit too high or low, a forgotten carry.
Options number_options(Draw& draw, int64_t value, size_t right) {
  constexpr int64_t kSlips[] = {1, -1, 10, -10, 100, -100, 2, -2, 20, -20, 11, 9};
  Options options;
  options[right] = std::to_string(value);
  for (size_t i = 0; i < kOptions;) {
    if (i == right) {
      ++i;
      continue;
    }
    const int64_t wrong = value + draw.pick(kSlips);
    std::string text = std::to_string(wrong);
    if (wrong < 0 || std::find(options.begin(), options.end(), text) != options.end()) continue;
    options[i++] = std::move(text);
  }
  return options;
}

}  // namespace

Sample number_choice(Draw& draw) {
  constexpr char kOperations[] = {'+', '+', '-', '-', '*'};
  const char operation = draw.pick(kOperations);
  const auto [a, b] = draw.operands(operation, operation == '*' ? 2 : 3);
  const auto parts = draw.wording(
      "number_choice", {std::size(kNumberQuestions), std::size(kMarks), std::size(kEndings)});
  const size_t right = draw.below(kOptions);
  const int64_t value = compute(a, operation, b);
  return choice(draw,
                fill(kNumberQuestions[parts[0]], {{"q", fmt::format("{} {} {}", a, operation, b)}}),
                kMarks[parts[1]], kEndings[parts[2]], number_options(draw, value, right), right,
                columns(a, operation, b));
}

Sample fact_choice(Draw& draw) {
  constexpr const char* kForms[] = {"What is the {f} of {x}?", "Which is the {f} of {x}?",
                                    "Name the {f} of {x}.", "The {f} of {x} is ?",
                                    "Choose the {f} of {x}."};
  struct Field {
    const char* name;
    const char* Country::*value;
  };
  constexpr Field kFields[] = {{"capital", &Country::capital}, {"language", &Country::language}};
  const Field& field = draw.pick(kFields);
  const Country& country = draw.pick(kCountries);
  const auto parts =
      draw.wording("fact_choice", {std::size(kForms), std::size(kMarks), std::size(kEndings)});
  const size_t right = draw.below(kOptions);
  Options options;
  options[right] = country.*field.value;
  for (size_t i = 0; i < kOptions; ++i) {
    while (options[i].empty()) {
      const std::string wrong = draw.pick(kCountries).*field.value;
      if (std::find(options.begin(), options.end(), wrong) == options.end()) options[i] = wrong;
    }
  }
  return choice(draw, fill(kForms[parts[0]], {{"f", field.name}, {"x", country.name}}),
                kMarks[parts[1]], kEndings[parts[2]], options, right,
                fmt::format("The {} of {} is {}.", field.name, country.name, options[right]));
}

}  // namespace sluice::tools::corpus
