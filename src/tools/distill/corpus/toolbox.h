// The tools of the corpus: nine families whose names, descriptions and parameter names vary, so
// that a call has to be read from the definitions.
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

// The tools offered in one conversation, each in one of its variants.
class Toolbox {
 public:
  // The needed ones and up to `others` more, in any order; never one of `without`.
  Toolbox(Draw& draw, const std::vector<Tool>& needed, size_t others,
          const std::vector<Tool>& without = {});

  bool offers(Tool tool) const;
  Json definitions() const;
  std::string name(Tool tool) const;
  // {"name", "arguments"}, the form of a check; values in the family's order.
  Json bare_call(Tool tool, std::initializer_list<Json> values) const;

 private:
  struct Offer {
    Tool tool;
    size_t name, description, parameters;  // variants
  };
  const Offer& offer(Tool tool) const;

  std::vector<Offer> offers_;
};

// {"type": "function", "function": bare}, the form of a message.
Json function_call(Json bare);

}  // namespace sluice::tools::corpus
