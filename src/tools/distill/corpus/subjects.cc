#include "tools/distill/corpus/subjects.h"

#include <fmt/format.h>

#include "tools/distill/corpus/sample.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

constexpr int kPercentMadeUp = 40;

}  // namespace

std::string made_up_word(Draw& draw) {
  constexpr const char* kOnsets[] = {"b", "d", "f", "g", "k", "l", "m",
                                     "n", "p", "r", "s", "t", "v", "z"};
  constexpr const char* kVowels[] = {"a", "e", "i", "o", "u"};
  constexpr const char* kCodas[] = {"", "", "", "", "n", "r", "l", "m"};
  std::string word;
  for (int64_t i = draw.chance(75) ? 2 : 3; i > 0; --i) {
    word += draw.pick(kOnsets);
    word += draw.pick(kVowels);
    if (i == 1) word += draw.pick(kCodas);
  }
  return word;
}

std::string any_name(Draw& draw) {
  return draw.chance(kPercentMadeUp) ? capitalised(made_up_word(draw)) : draw.pick(kNames);
}

std::string any_city(Draw& draw) {
  return draw.chance(kPercentMadeUp) ? capitalised(made_up_word(draw))
                                     : draw.pick(kCountries).capital;
}

std::string any_thing(Draw& draw) {
  return draw.chance(kPercentMadeUp) ? made_up_word(draw) + "s" : draw.pick(kThings);
}

std::string any_event(Draw& draw) {
  return draw.chance(kPercentMadeUp) ? draw.pick(kWords) : draw.pick(kEvents);
}

std::string any_file(Draw& draw) {
  constexpr const char* kEndings[] = {".txt", ".md", ".csv", ".log"};
  if (!draw.chance(kPercentMadeUp)) return draw.pick(kFiles);
  const std::string stem = draw.chance(50) ? draw.pick(kWords) : made_up_word(draw);
  return stem + draw.pick(kEndings);
}

std::string short_text(Draw& draw) {
  if (draw.chance(50))
    return fmt::format("{} {} {}", draw.pick(kWords), draw.pick(kWords), draw.pick(kWords));
  return fmt::format("The {} {} {} the {}.", draw.pick(kAdjectives), draw.pick(kAnimals),
                     draw.pick(kVerbs), draw.pick(kAnimals));
}

std::string phone_number(Draw& draw) { return std::to_string(draw.between(1000, 9999)); }

std::string clock_time(Draw& draw) {
  return fmt::format("{:02}:{:02}", draw.between(8, 20), 15 * draw.below(4));
}

}  // namespace sluice::tools::corpus
