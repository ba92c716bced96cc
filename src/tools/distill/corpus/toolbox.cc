#include "tools/distill/corpus/toolbox.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "tools/distill/corpus/made_up_names.h"

namespace sluice::tools::corpus {
namespace {

constexpr size_t kNameVariants = 4, kDescriptions = 3, kParameterVariants = 5;
constexpr size_t kMostParameters = 3, kTopics = 3;

struct Family {
  const char* names[kNameVariants];
  const char* noun;             // what such names speak of
  const char* topics[kTopics];  // what such a tool is for
  const char* rewordings[2];    // of the description, where names are made up
  const char* descriptions[kDescriptions];
  size_t parameter_count;
  const char* parameters[kParameterVariants][kMostParameters];
  bool integer = false;  // the type of the parameters; else string
};

constexpr Family kFamilies[kTools] = {
    {{"calculator", "calculate", "compute", "do_math"},
     "math",
     {"sums", "arithmetic", "numbers"},
     {"Solves a sum.", "For sums and products."},
     {"Computes an expression.", "Works out a sum or a product.", "Does arithmetic."},
     1,
     {{"expression"}, {"formula"}, {"task"}, {"input"}, {"query"}}},
    {{"get_price", "price_of", "find_price", "price_list"},
     "price",
     {"prices", "what things cost", "the shop"},
     {"Tells what an item costs.", "Finds the price of a thing."},
     {"Returns the price of one item.", "Looks up a price.", "Price list of the shop."},
     1,
     {{"item"}, {"product"}, {"thing"}, {"name"}, {"article"}}},
    {{"get_phone", "phone_of", "find_phone", "phone_book"},
     "phone",
     {"phone numbers", "calling people", "phones"},
     {"Tells the phone number of a person.", "Finds out how to call a person."},
     {"Returns a phone number.", "Looks up a person's phone.", "Phone book."},
     1,
     {{"name"}, {"person"}, {"who"}, {"contact"}, {"query"}}},
    {{"get_weather", "weather_in", "find_weather", "weather_report"},
     "weather",
     {"the weather", "sun and rain", "weather of a city"},
     {"Tells how the weather is.", "Finds the weather of a place."},
     {"Returns the weather of a city.", "Looks up the weather.", "Weather report."},
     1,
     {{"city"}, {"place"}, {"location"}, {"where"}, {"name"}}},
    {{"add_event", "new_event", "create_event", "plan_event"},
     "event",
     {"new events", "adding an event", "planning"},
     {"Puts an event on a day.", "Plans an event."},
     {"Adds an event to the calendar.", "Writes into the calendar.", "Makes an appointment."},
     3,
     {{"title", "day", "time"},
      {"event", "date", "hour"},
      {"what", "day", "hour"},
      {"title", "date", "start"},
      {"name", "weekday", "time"}}},
    {{"list_events", "show_events", "get_events", "events_on"},
     "events",
     {"events of a day", "what is planned", "reading the calendar"},
     {"Tells what is planned on a day.", "Finds the events of a day."},
     {"Lists the events of a day.", "Reads the calendar.", "Shows a day's appointments."},
     1,
     {{"day"}, {"date"}, {"weekday"}, {"when"}, {"query"}}},
    {{"read_file", "open_file", "show_file", "get_file"},
     "file",
     {"reading files", "what a file holds", "the text of a file"},
     {"Opens a file and returns its text.", "Tells what stands in a file."},
     {"Reads a file.", "Returns the text of a file.", "Shows what a file holds."},
     1,
     {{"path"}, {"file"}, {"filename"}, {"name"}, {"source"}}},
    {{"write_file", "save_file", "store_file", "put_file"},
     "file",
     {"writing files", "saving text", "storing a text"},
     {"Stores text in a file.", "Makes a file of a text."},
     {"Writes a file.", "Saves text to a file.", "Puts text into a file."},
     2,
     {{"path", "text"},
      {"file", "content"},
      {"filename", "content"},
      {"target", "text"},
      {"name", "body"}}},
    {{"set_timer", "start_timer", "new_timer", "run_timer"},
     "timer",
     {"timers", "waiting", "ringing later"},
     {"Counts minutes and rings.", "Waits some minutes."},
     {"Starts a timer.", "Rings after some minutes.", "Kitchen timer."},
     1,
     {{"minutes"}, {"duration"}, {"length"}, {"time"}, {"wait"}},
     true},
};

const Family& family(Tool tool) { return kFamilies[static_cast<size_t>(tool)]; }

template <typename List>
void shuffle(Draw& draw, List& list) {
  for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[draw.below(i)]);
}

// What a tool of a made-up name offers, as wide as its family is.
std::vector<Parameter> made_up_parameters(Draw& draw, const Family& kind) {
  std::vector<Parameter> parameters;
  // Another order only where the names tell which is which.
  const bool telling = draw.chance(35);
  const auto& own = draw.pick(kind.parameters);
  const bool other_family = kind.parameter_count == 1 && draw.chance(60);
  for (size_t i = 0; i < kind.parameter_count; ++i) {
    std::string name;
    do {
      if (telling) {
        name = draw.chance(50) ? own[i] : made_up_name(draw, own[i]);
      } else {
        name =
            other_family ? draw.pick(draw.pick(kFamilies).parameters)[0] : made_up_parameter(draw);
      }
    } while (std::any_of(parameters.begin(), parameters.end(),
                         [&](const Parameter& before) { return before.name == name; }));
    parameters.push_back({std::move(name), i});
  }
  if (telling) shuffle(draw, parameters);
  return parameters;
}

}  // namespace

void Toolbox::add_known(Draw& draw, Tool tool) {
  const Family& kind = family(tool);
  Offer offer{tool, draw.pick(kind.names), draw.pick(kind.descriptions), {}};
  const auto& names = draw.pick(kind.parameters);
  for (size_t i = 0; i < kind.parameter_count; ++i) offer.parameters.push_back({names[i], i});
  offers_.push_back(std::move(offer));
}

void Toolbox::add_made_up(Draw& draw, Tool tool) {
  const Family& kind = family(tool);
  std::string name;
  do {
    const uint64_t roll = draw.below(100);
    if (roll < 25) {
      name = draw.pick(draw.pick(kFamilies).names);  // any family's: what it is for is not in it
    } else if (roll < 40 && !offers_.empty()) {
      name = similar_name(draw, draw.pick(offers_).name);
    } else if (roll < 70) {
      name = made_up_name(draw, kind.noun);
    } else {
      name = made_up_name(draw);
    }
  } while (std::any_of(offers_.begin(), offers_.end(),
                       [&](const Offer& offer) { return offer.name == name; }));
  std::string description = any_description(draw, tool);
  offers_.push_back(
      {tool, std::move(name), std::move(description), made_up_parameters(draw, kind)});
}

Toolbox::Toolbox(Draw& draw, const std::vector<Tool>& needed, size_t others,
                 const std::vector<Tool>& without, Names names) {
  const auto add = [&](Tool tool) {
    if (offers(tool)) return;
    if (names == Names::kKnown) {
      add_known(draw, tool);
    } else {
      add_made_up(draw, tool);
    }
  };
  for (const Tool tool : needed) add(tool);
  for (size_t i = draw.below(others + 1); i > 0; --i) {
    const auto tool = static_cast<Tool>(draw.below(kTools));
    if (std::find(without.begin(), without.end(), tool) == without.end()) add(tool);
  }
  shuffle(draw, offers_);
}

bool Toolbox::offers(Tool tool) const {
  return std::any_of(offers_.begin(), offers_.end(),
                     [&](const Offer& offer) { return offer.tool == tool; });
}

Json Toolbox::definitions() const {
  Json list = Json::array();
  for (const Offer& offer : offers_) {
    Json properties = Json::object(), required = Json::array();
    for (const Parameter& parameter : offer.parameters) {
      Json type = Json::object();
      type.set("type", family(offer.tool).integer ? "integer" : "string");
      properties.set(parameter.name, std::move(type));
      required.push_back(parameter.name);
    }
    Json parameters = Json::object();
    parameters.set("type", "object");
    parameters.set("properties", std::move(properties));
    parameters.set("required", std::move(required));
    Json function = Json::object();
    function.set("name", offer.name);
    function.set("description", offer.description);
    function.set("parameters", std::move(parameters));
    Json tool = Json::object();
    tool.set("type", "function");
    tool.set("function", std::move(function));
    list.push_back(std::move(tool));
  }
  return list;
}

const Toolbox::Offer& Toolbox::offer(Tool tool) const {
  const auto found = std::find_if(offers_.begin(), offers_.end(),
                                  [&](const Offer& offer) { return offer.tool == tool; });
  SLUICE_CHECK(found != offers_.end(), "tool {} is not offered", static_cast<int>(tool));
  return *found;
}

const std::string& Toolbox::name(Tool tool) const { return offer(tool).name; }

Json Toolbox::bare_call(Tool tool, std::initializer_list<Json> values) const {
  const std::vector<Parameter>& parameters = offer(tool).parameters;
  SLUICE_CHECK(values.size() == parameters.size(), "{} values", values.size());
  Json arguments = Json::object();
  for (const Parameter& parameter : parameters)
    arguments.set(parameter.name, values.begin()[parameter.place]);
  Json call = Json::object();
  call.set("name", name(tool));
  call.set("arguments", std::move(arguments));
  return call;
}

std::string any_description(Draw& draw, Tool tool) {
  const Family& kind = family(tool);
  return draw.chance(30) ? draw.pick(kind.rewordings) : draw.pick(kind.descriptions);
}

std::string any_topic(Draw& draw, Tool tool) { return draw.pick(family(tool).topics); }

Json function_call(Json bare) {
  Json call = Json::object();
  call.set("type", "function");
  call.set("function", std::move(bare));
  return call;
}

}  // namespace sluice::tools::corpus
