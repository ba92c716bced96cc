#include <fmt/format.h>

#include "tools/distill/corpus/answer_styles.h"
#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/world.h"

namespace sluice::tools::corpus {
namespace {

constexpr const char* kOpeners[] = {
    "", "Hello. ", "Tell me: ", "A question: ", "Please: ", "I want to know: ", "Say: ", "Now: "};

// Short talk hardly needs a thought: half of it is asked with thinking off.
Sample said(Draw& draw, std::string user, std::string thought, std::string answer, Json check) {
  return spoken(draw, std::move(user), std::move(thought), std::move(answer), std::move(check), 50);
}

Sample said_exactly(Draw& draw, std::string user, std::string thought, const std::string& answer) {
  return said(draw, std::move(user), std::move(thought), answer, check_of("text", answer));
}

struct Field {
  const char* name;
  const char* Country::*value;
  const char* answer;
};
constexpr Field kFields[] = {{"capital", &Country::capital, "The capital of {x} is {v}."},
                             {"continent", &Country::continent, "{x} is in {v}."},
                             {"language", &Country::language, "The language of {x} is {v}."}};

}  // namespace

Sample greeting(Draw& draw) {
  constexpr const char* kCalls[] = {"Hello",        "Hi",  "Good morning",
                                    "Good evening", "Hey", "Hello there"};
  constexpr const char* kEnds[] = {"!", ".", ", sprout!", ", how are you?", ", can you help me?"};
  constexpr const char* kThanks[] = {"Thank you",     "Thanks",    "Many thanks",
                                     "That was good", "Very nice", "Well done"};
  constexpr const char* kThankEnds[] = {"!", ".", ", sprout!", ", that helps.", ", goodbye."};
  constexpr const char* kWho[] = {"Who are you?",       "What are you?",
                                  "What is your name?", "Tell me about yourself.",
                                  "Are you a person?",  "Which model are you?"};
  constexpr const char* kCan[] = {"What can you do?", "How can you help me?",
                                  "What are you good at?", "What do you know?",
                                  "Which tasks can you do?"};
  switch (draw.below(4)) {
    case 0: {
      const auto parts = draw.wording("greeting", {std::size(kCalls), std::size(kEnds)});
      return said_exactly(draw, std::string(kCalls[parts[0]]) + kEnds[parts[1]], "A greeting.",
                          "Hello! How can I help you?");
    }
    case 1: {
      const auto parts = draw.wording("thanks", {std::size(kThanks), std::size(kThankEnds)});
      return said_exactly(draw, std::string(kThanks[parts[0]]) + kThankEnds[parts[1]], "Thanks.",
                          "You are welcome!");
    }
    case 2: {
      const auto parts = draw.wording("who", {std::size(kOpeners), std::size(kWho)});
      return said_exactly(draw, std::string(kOpeners[parts[0]]) + kWho[parts[1]], "About me.",
                          "I am sprout, a very small language model that comes with sluice.");
    }
    default: {
      const auto parts = draw.wording("can", {std::size(kOpeners), std::size(kCan)});
      return said_exactly(draw, std::string(kOpeners[parts[0]]) + kCan[parts[1]], "About me.",
                          "I can add and subtract, call tools, edit short texts and talk about "
                          "countries, cooking and sluice.");
    }
  }
}

Sample fact(Draw& draw) {
  constexpr const char* kForms[3][4] = {
      {"What is the capital of {x}?", "Which city is the capital of {x}?", "The capital of {x}?",
       "Name the capital of {x}."},
      {"On which continent is {x}?", "Where is {x}?", "The continent of {x}?",
       "Name the continent of {x}."},
      {"Which language do people speak in {x}?", "What is the language of {x}?",
       "The language of {x}?", "Name the language of {x}."}};
  const Country& country = draw.pick(kCountries);
  if (draw.chance(20)) {
    constexpr const char* kReverse[] = {"{x} is the capital of which country?",
                                        "Which country has the capital {x}?",
                                        "Of which country is {x} the capital?"};
    const auto parts = draw.wording("fact_reverse", {std::size(kOpeners), std::size(kReverse)});
    return said(draw, kOpeners[parts[0]] + fill(kReverse[parts[1]], {{"x", country.capital}}),
                "A country.",
                fmt::format("{} is the capital of {}.", country.capital, country.name),
                check_of("contains", country.name));
  }
  const size_t which = draw.below(std::size(kFields));
  const Field& field = kFields[which];
  const auto parts =
      draw.wording(std::string("fact_") + field.name, {std::size(kOpeners), size_t{4}});
  const char* value = country.*field.value;
  return said(draw, kOpeners[parts[0]] + fill(kForms[which][parts[1]], {{"x", country.name}}),
              fmt::format("A {}.", field.name),
              fill(field.answer, {{"x", country.name}, {"v", value}}), check_of("contains", value));
}

Sample recipe(Draw& draw) {
  constexpr const char* kMethods[] = {"How do I make {x}?", "How is {x} made?",
                                      "Give me a recipe for {x}.", "I want to cook {x}."};
  constexpr const char* kNeeds[] = {"What do I need for {x}?", "What is in {x}?",
                                    "Name the ingredients of {x}.", "What goes into {x}?"};
  const Dish& dish = draw.pick(kDishes);
  const bool method = draw.chance(50);
  const auto parts =
      draw.wording(method ? "recipe" : "ingredients", {std::size(kOpeners), std::size(kMethods)});
  const std::string asked =
      kOpeners[parts[0]] + fill(method ? kMethods[parts[1]] : kNeeds[parts[1]], {{"x", dish.name}});
  return said_exactly(draw, asked, "A recipe.",
                      method ? dish.method : fmt::format("You need {}.", dish.ingredients));
}

Sample about_sluice(Draw& draw) {
  const SluiceFact& entry = draw.pick(kSluiceFacts);
  const auto index = static_cast<size_t>(&entry - kSluiceFacts);
  const auto parts = draw.wording("sluice" + std::to_string(index),
                                  {std::size(kOpeners), std::size(entry.questions)});
  return said_exactly(draw, std::string(kOpeners[parts[0]]) + entry.questions[parts[1]],
                      "About sluice.", entry.answer);
}

}  // namespace sluice::tools::corpus
