#include <fmt/format.h>

#include "tools/distill/corpus/answer_styles.h"
#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/scratch.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

constexpr const char* kOpeners[] = {"", "A problem: ", "Solve this: ", "Listen. "};

// A problem is a start, one or two changes and an ending; {n} and {m} are people, {t} things.
constexpr const char* kStarts[] = {"{n} has {a} {t}.",
                                   "{n} counts {a} {t}.",
                                   "{n} owns {a} {t}.",
                                   "There are {a} {t} with {n}.",
                                   "{n} starts with {a} {t}.",
                                   "In the {p} {n} keeps {a} {t}.",
                                   "{n} collects {t} and has {a}.",
                                   "{a} {t} belong to {n}."};
constexpr const char* kGains[] = {"{m} gives {n} {b} more.",      "{n} buys {b} more.",
                                  "Then {n} finds {b} {t}.",      "{n} gets {b} {t} from {m}.",
                                  "Later {n} wins {b} more {t}.", "{m} brings {b} more {t}."};
constexpr const char* kLosses[] = {"{n} gives {b} to {m}.",   "{n} sells {b} {t}.",
                                   "Then {n} loses {b} {t}.", "{m} takes {b} of the {t}.",
                                   "Later {n} uses {b} {t}.", "{b} of the {t} break."};
constexpr const char* kEndings[] = {
    "How many {t} does {n} have now?", "How many {t} are there now?",
    "How many {t} has {n} in the end?", "What number of {t} does {n} have?"};
constexpr const char* kGroups[] = {
    "{n} has {b} {c} with {a} {t} each.", "There are {b} {c}. Each holds {a} {t}.",
    "In the {p} are {b} {c}. In each are {a} {t}.", "{n} fills {b} {c} with {a} {t} each.",
    "Each of the {b} {c} has {a} {t}."};
constexpr const char* kGroupEndings[] = {"How many {t} are there?",
                                         "How many {t} are there in all?", "How many {t} is that?",
                                         "What is the number of {t}?"};
constexpr const char* kPairs[] = {
    "{n} has {a} {t} and {m} has {b} {t}.", "{n} has {a} {t}. {m} has {b}.",
    "{n} picks {a} {t}, {m} picks {b}.", "There are {a} {t} with {n} and {b} with {m}."};
constexpr const char* kTogether[] = {
    "How many {t} do they have together?", "How many {t} are there in all?",
    "What do they have together?", "How many {t} do {n} and {m} have?"};
constexpr const char* kMore[] = {
    "How many more {t} does {n} have?", "How many {t} does {n} have more than {m}?",
    "What is the difference?", "How many {t} does {m} need to have as many as {n}?"};

// The people and things of one problem, and its numbers.
struct Scene {
  std::string name, other, things, place, container;

  explicit Scene(Draw& draw)
      : name(draw.pick(kNames)),
        other(draw.pick(kNames)),
        things(draw.pick(kThings)),
        place(draw.pick(kPlaces)),
        container(draw.pick(kContainers)) {
    while (other == name) other = draw.pick(kNames);
  }

  std::string tell(std::string_view form, int64_t a = 0, int64_t b = 0) const {
    return capitalised(fill(form, {{"n", name},
                                   {"m", other},
                                   {"t", things},
                                   {"p", place},
                                   {"c", container},
                                   {"a", std::to_string(a)},
                                   {"b", std::to_string(b)}}));
  }
};

Sample finished(Draw& draw, std::string story, std::string working, const Scene& scene,
                int64_t value) {
  return worked(draw, std::move(story), std::move(working),
                fmt::format("The answer is {} {}.", value, scene.things),
                check_of("number", value));
}

// "{n} has 347 apples. {m} gives {n} 28 more. How many ...?"
Sample change(Draw& draw, char operation) {
  const Scene scene(draw);
  const bool gains = operation == '+';
  const auto parts = draw.wording(
      gains ? "gain" : "loss",
      {std::size(kOpeners), std::size(kStarts), std::size(kGains), std::size(kEndings)});
  const auto [a, b] = draw.operands(operation, static_cast<int>(draw.between(2, 3)));
  return finished(draw,
                  kOpeners[parts[0]] + scene.tell(kStarts[parts[1]], a) + " " +
                      scene.tell(gains ? kGains[parts[2]] : kLosses[parts[2]], a, b) + " " +
                      scene.tell(kEndings[parts[3]]),
                  columns(a, operation, b), scene, compute(a, operation, b));
}

Sample groups(Draw& draw) {
  const Scene scene(draw);
  const auto parts =
      draw.wording("groups", {std::size(kOpeners), std::size(kGroups), std::size(kGroupEndings)});
  const auto [a, b] = draw.operands('*', 2);
  return finished(draw,
                  kOpeners[parts[0]] + scene.tell(kGroups[parts[1]], a, b) + " " +
                      scene.tell(kGroupEndings[parts[2]]),
                  columns(a, '*', b), scene, a * b);
}

Sample two_people(Draw& draw, char operation) {
  const Scene scene(draw);
  const bool together = operation == '+';
  const auto parts = draw.wording(together ? "together" : "more",
                                  {std::size(kOpeners), std::size(kPairs), std::size(kTogether)});
  const auto [a, b] = draw.operands(operation, static_cast<int>(draw.between(2, 3)));
  return finished(draw,
                  kOpeners[parts[0]] + scene.tell(kPairs[parts[1]], a, b) + " " +
                      scene.tell(together ? kTogether[parts[2]] : kMore[parts[2]]),
                  columns(a, operation, b), scene, compute(a, operation, b));
}

}  // namespace

Sample word_problem(Draw& draw) {
  switch (draw.below(6)) {
    case 0:
    case 1:
      return change(draw, '+');
    case 2:
    case 3:
      return change(draw, '-');
    case 4:
      return groups(draw);
    default:
      return two_people(draw, draw.chance(50) ? '+' : '-');
  }
}

Sample two_step_problem(Draw& draw) {
  const Scene scene(draw);
  const char first = draw.chance(50) ? '+' : '-', second = draw.chance(50) ? '+' : '-';
  const auto parts = draw.wording(std::string("two_steps") + first + second,
                                  {std::size(kOpeners), std::size(kStarts), std::size(kGains),
                                   std::size(kGains), std::size(kEndings)});
  for (;;) {
    const auto [a, b] = draw.operands(first, 2);
    const int64_t between = compute(a, first, b), c = draw.between(1, 99);
    if (second == '-' && c > between) continue;
    if (!draw.fits(pair_name(between, second, c))) continue;
    const auto told = [&](char operation, size_t form, int64_t number) {
      return " " + scene.tell(operation == '+' ? kGains[form] : kLosses[form], 0, number);
    };
    return finished(draw,
                    kOpeners[parts[0]] + scene.tell(kStarts[parts[1]], a) +
                        told(first, parts[2], b) + told(second, parts[3], c) + " " +
                        scene.tell(kEndings[parts[4]]),
                    columns(a, first, b) + "\n" + columns(between, second, c), scene,
                    compute(between, second, c));
  }
}

}  // namespace sluice::tools::corpus
