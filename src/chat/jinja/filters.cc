#include "chat/jinja/filters.h"

namespace sluice::chat::jinja {

const Filter* find_filter(std::string_view name) {
  for (const auto table : {text_filters(), number_filters(), sequence_filters(), lazy_filters()}) {
    for (const Filter& filter : table) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace sluice::chat::jinja
