// A drill: which tool of a list is for this, and what are its parameters called.
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "tools/distill/corpus/kinds.h"
#include "tools/distill/corpus/toolbox.h"

namespace sluice::tools::corpus {
namespace {

// As the template prints a definition, with a blank behind every comma and colon.
std::string printed(const Json& json) {
  std::string text;
  if (json.is_object()) {
    for (const auto& [key, value] : json.members())
      text += (text.empty() ? "" : ", ") + Json(key).dump() + ": " + printed(value);
    return "{" + text + "}";
  }
  if (json.is_array()) {
    for (const Json& item : json.items()) text += (text.empty() ? "" : ", ") + printed(item);
    return "[" + text + "]";
  }
  return json.dump();
}

Json without_parameters(const Json& function) {
  Json shorter = Json::object();
  for (const char* key : {"name", "description"}) shorter.set(key, *function.find(key));
  return shorter;
}

}  // namespace

// "the weather: lamp_gopu city". The list stands in the question: the template's own 200 tokens of
// instructions would halve what a batch can teach. So would the parameters, which are learned more
// easily than the names (they stand behind their tool's name, a name before its description): half
// of the lists have none and are longer.
Sample tool_names(Draw& draw) {
  constexpr const char* kStarts[] = {"", "<tools>\n", "Tools:\n", "There are these tools:\n"};
  constexpr const char* kForms[] = {"Which tools are for {x}?", "Name the tools for {x}.",
                                    "What do I call for {x}?", "Find the tools for {x}.",
                                    "Tools for {x}?"};
  constexpr const char* kClosers[] = {"", " Thank you.", " Be exact."};
  const bool with_parameters = draw.chance(45);
  const Toolbox box(draw, {static_cast<Tool>(draw.below(kTools))}, with_parameters ? 5 : 10, {},
                    Names::kMadeUp);
  const auto parts =
      draw.wording("tool_names", {std::size(kStarts), std::size(kForms), std::size(kClosers)});
  std::string list = kStarts[parts[0]];
  const Json definitions = box.definitions();
  for (const Json& tool : definitions.items())
    list += printed(with_parameters ? tool : without_parameters(*tool.find("function"))) + "\n";

  std::vector<const Toolbox::Offer*> asked;
  for (const Toolbox::Offer& offer : box.offered()) asked.push_back(&offer);
  for (size_t i = asked.size(); i > 1; --i) std::swap(asked[i - 1], asked[draw.below(i)]);
  std::string topics, answer;
  for (const Toolbox::Offer* offer : asked) {
    const std::string topic = any_topic(draw, offer->tool);
    topics += (topics.empty() ? "" : ", ") + topic;
    answer += fmt::format("{}{}: {}", answer.empty() ? "" : "\n", topic, offer->name);
    if (!with_parameters) continue;
    for (const Parameter& parameter : offer->parameters) answer += " " + parameter.name;
  }
  return question(list + fill(kForms[parts[1]], {{"x", topics}}) + kClosers[parts[2]],
                  "I look them up.", answer, check_of("text", answer));
}

}  // namespace sluice::tools::corpus
