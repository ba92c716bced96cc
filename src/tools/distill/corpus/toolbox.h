// The tools of the corpus: nine families whose names, descriptions and parameter names vary, so
// that a call has to be read from the definitions. In drills the names are made up.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "base/json.h"
#include "tools/distill/corpus/draw.h"

namespace sluice::tools::corpus {

enum class Tool : uint8_t {
  kCalculator,  // expression
  kPrice,       // item
  kPhone,       // name
  kWeather,     // city
  kAddEvent,    // title, day, time
  kListEvents,  // day
  kReadFile,    // path
  kWriteFile,   // path, text
  kTimer,       // minutes (integer)
};
inline constexpr size_t kTools = 9;

enum class Names : uint8_t {
  kKnown,   // a few of each family's own
  kMadeUp,  // new ones, or another family's: only the description says what the tool is for
};

struct Parameter {
  std::string name;
  size_t place;  // of its value in the family's order
};

// The tools offered in one conversation, each in one of its variants.
class Toolbox {
 public:
  // The needed ones and up to `others` more, in any order; never one of `without`.
  Toolbox(Draw& draw, const std::vector<Tool>& needed, size_t others,
          const std::vector<Tool>& without = {}, Names names = Names::kKnown);

  struct Offer {
    Tool tool;
    std::string name, description;
    std::vector<Parameter> parameters;  // in the order in which they are listed
  };
  const std::vector<Offer>& offered() const { return offers_; }  // in the order of the list

  bool offers(Tool tool) const;
  Json definitions() const;
  const std::string& name(Tool tool) const;
  // {"name", "arguments"}, the form of a check; values in the family's order.
  Json bare_call(Tool tool, std::initializer_list<Json> values) const;

 private:
  void add_known(Draw& draw, Tool tool);
  void add_made_up(Draw& draw, Tool tool);
  const Offer& offer(Tool tool) const;

  std::vector<Offer> offers_;
};

// A few words for what such a tool is for: "the weather".
std::string any_topic(Draw& draw, Tool tool);

// One of the descriptions of its family.
std::string any_description(Draw& draw, Tool tool);

// {"type": "function", "function": bare}, the form of a message.
Json function_call(Json bare);

}  // namespace sluice::tools::corpus
