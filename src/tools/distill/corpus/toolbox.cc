#include "tools/distill/corpus/toolbox.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::tools::corpus {
namespace {

constexpr size_t kNameVariants = 4, kDescriptions = 3, kParameterVariants = 5;
constexpr size_t kMostParameters = 3;

struct Family {
  const char* names[kNameVariants];
  const char* descriptions[kDescriptions];
  size_t parameter_count;
  const char* parameters[kParameterVariants][kMostParameters];
  bool integer = false;  // the type of the parameters; else string
};

constexpr Family kFamilies[kTools] = {
    {{"calculator", "calculate", "compute", "do_math"},
     {"Computes an expression.", "Works out a sum or a product.", "Does arithmetic."},
     1,
     {{"expression"}, {"formula"}, {"task"}, {"input"}, {"query"}}},
    {{"get_price", "price_of", "find_price", "price_list"},
     {"Returns the price of one item.", "Looks up a price.", "Price list of the shop."},
     1,
     {{"item"}, {"product"}, {"thing"}, {"name"}, {"article"}}},
    {{"get_phone", "phone_of", "find_phone", "phone_book"},
     {"Returns a phone number.", "Looks up a person's phone.", "Phone book."},
     1,
     {{"name"}, {"person"}, {"who"}, {"contact"}, {"query"}}},
    {{"get_weather", "weather_in", "find_weather", "weather_report"},
     {"Returns the weather of a city.", "Looks up the weather.", "Weather report."},
     1,
     {{"city"}, {"place"}, {"location"}, {"where"}, {"name"}}},
    {{"add_event", "new_event", "create_event", "plan_event"},
     {"Adds an event to the calendar.", "Writes into the calendar.", "Makes an appointment."},
     3,
     {{"title", "day", "time"},
      {"event", "date", "hour"},
      {"what", "day", "hour"},
      {"title", "date", "start"},
      {"name", "weekday", "time"}}},
    {{"list_events", "show_events", "get_events", "events_on"},
     {"Lists the events of a day.", "Reads the calendar.", "Shows a day's appointments."},
     1,
     {{"day"}, {"date"}, {"weekday"}, {"when"}, {"query"}}},
    {{"read_file", "open_file", "show_file", "get_file"},
     {"Reads a file.", "Returns the text of a file.", "Shows what a file holds."},
     1,
     {{"path"}, {"file"}, {"filename"}, {"name"}, {"source"}}},
    {{"write_file", "save_file", "store_file", "put_file"},
     {"Writes a file.", "Saves text to a file.", "Puts text into a file."},
     2,
     {{"path", "text"},
      {"file", "content"},
      {"filename", "content"},
      {"target", "text"},
      {"name", "body"}}},
    {{"set_timer", "start_timer", "new_timer", "run_timer"},
     {"Starts a timer.", "Rings after some minutes.", "Kitchen timer."},
     1,
     {{"minutes"}, {"duration"}, {"length"}, {"time"}, {"wait"}},
     true},
};

const Family& family(Tool tool) { return kFamilies[static_cast<size_t>(tool)]; }

}  // namespace

Toolbox::Toolbox(Draw& draw, const std::vector<Tool>& needed, size_t others,
                 const std::vector<Tool>& without) {
  const auto add = [&](Tool tool) {
    if (offers(tool)) return;
    offers_.push_back({tool, draw.below(kNameVariants), draw.below(kDescriptions),
                       draw.below(kParameterVariants)});
  };
  for (const Tool tool : needed) add(tool);
  for (size_t i = draw.below(others + 1); i > 0; --i) {
    const auto tool = static_cast<Tool>(draw.below(kTools));
    if (std::find(without.begin(), without.end(), tool) == without.end()) add(tool);
  }
  for (size_t i = offers_.size(); i > 1; --i) std::swap(offers_[i - 1], offers_[draw.below(i)]);
}

bool Toolbox::offers(Tool tool) const {
  return std::any_of(offers_.begin(), offers_.end(),
                     [&](const Offer& offer) { return offer.tool == tool; });
}

Json Toolbox::definitions() const {
  Json list = Json::array();
  for (const Offer& offer : offers_) {
    const Family& kind = family(offer.tool);
    Json properties = Json::object(), required = Json::array();
    for (size_t i = 0; i < kind.parameter_count; ++i) {
      const char* name = kind.parameters[offer.parameters][i];
      Json type = Json::object();
      type.set("type", kind.integer ? "integer" : "string");
      properties.set(name, std::move(type));
      required.push_back(name);
    }
    Json parameters = Json::object();
    parameters.set("type", "object");
    parameters.set("properties", std::move(properties));
    parameters.set("required", std::move(required));
    Json function = Json::object();
    function.set("name", kind.names[offer.name]);
    function.set("description", kind.descriptions[offer.description]);
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

std::string Toolbox::name(Tool tool) const { return family(tool).names[offer(tool).name]; }

Json Toolbox::bare_call(Tool tool, std::initializer_list<Json> values) const {
  const Family& kind = family(tool);
  SLUICE_CHECK(values.size() == kind.parameter_count, "{} values", values.size());
  Json arguments = Json::object();
  size_t i = 0;
  for (const Json& value : values)
    arguments.set(kind.parameters[offer(tool).parameters][i++], value);
  Json call = Json::object();
  call.set("name", name(tool));
  call.set("arguments", std::move(arguments));
  return call;
}

Json function_call(Json bare) {
  Json call = Json::object();
  call.set("type", "function");
  call.set("function", std::move(bare));
  return call;
}

}  // namespace sluice::tools::corpus
