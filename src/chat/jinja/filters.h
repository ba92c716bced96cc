// The filters of templates, by name.
#pragma once

#include <span>
#include <string_view>

#include "chat/jinja/interpreter.h"

namespace sluice::chat::jinja {

struct Filter {
  std::string_view name;
  Value (*apply)(Interpreter&, const Value& subject, Arguments&);
};
const Filter* find_filter(std::string_view name);  // nullptr: no such filter

// The parts of the table, a file each.
std::span<const Filter> lazy_filters();
std::span<const Filter> number_filters();
std::span<const Filter> sequence_filters();
std::span<const Filter> text_filters();

}  // namespace sluice::chat::jinja
