#include <fmt/format.h>

#include <algorithm>

#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

Sample plain(std::string text) {
  Sample sample;
  sample.text = std::move(text);
  return sample;
}

}  // namespace

Sample story(Draw& draw) {
  constexpr const char* kMiddles[] = {"One day {n} found {c} {t} near the {p}.",
                                      "Every morning {n} went to the {p}.",
                                      "{n} liked {t} very much.",
                                      "In the {p} {n} met a {d} {b}.",
                                      "The {b} asked {n} for {t}.",
                                      "{n} gave the {b} some {t}.",
                                      "The {b} was {d} and said thank you.",
                                      "Then it was {w} and they went home."};
  constexpr const char* kEnds[] = {"They were friends for ever.", "That was a good day.",
                                   "In the evening {n} slept well.",
                                   "And {n} told the story to everyone."};
  const std::string name = draw.pick(kNames), animal = draw.pick(kAnimals),
                    other = draw.pick(kAnimals), adjective = draw.pick(kAdjectives),
                    things = draw.pick(kThings), place = draw.pick(kPlaces),
                    colour = draw.pick(kColours), sky = draw.pick(kWeathers);
  const auto told = [&](const char* form) {
    return " " + fill(form, {{"n", name},
                             {"b", other},
                             {"d", adjective},
                             {"t", things},
                             {"p", place},
                             {"c", colour},
                             {"w", sky}});
  };
  std::string text = fmt::format("Once upon a time there was a {} {} called {}.",
                                 draw.pick(kAdjectives), animal, name);
  size_t next = 0;
  for (int64_t i = draw.between(3, 5); i > 0; --i) {
    next += draw.below(2);
    text += told(kMiddles[std::min(next++, std::size(kMiddles) - 1)]);
  }
  return plain(text + told(draw.pick(kEnds)));
}

Sample gazetteer_text(Draw& draw) {
  std::string text;
  for (int64_t i = draw.between(2, 4); i > 0; --i) {
    const Country& country = draw.pick(kCountries);
    if (!text.empty()) text += "\n";
    switch (draw.below(3)) {
      case 0:
        text += fmt::format("The capital of {} is {}. People there speak {}.", country.name,
                            country.capital, country.language);
        break;
      case 1:
        text += fmt::format("{} is a country in {}. Its capital is {}.", country.name,
                            country.continent, country.capital);
        break;
      default:
        text += fmt::format("{} is the capital of {}, a country in {}.", country.capital,
                            country.name, country.continent);
    }
  }
  return plain(std::move(text));
}

}  // namespace sluice::tools::corpus
