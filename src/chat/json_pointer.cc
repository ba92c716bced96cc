#include "chat/json_pointer.h"

#include <charconv>
#include <string>
#include <utility>

namespace sluice::chat {

const Json* resolve_reference(const Json& root, std::string_view reference) {
  if (reference.empty() || reference.front() != '#') return nullptr;
  reference.remove_prefix(1);
  const Json* place = &root;
  while (place && !reference.empty()) {
    if (reference.front() != '/') return nullptr;
    reference.remove_prefix(1);
    std::string key(reference.substr(0, reference.find('/')));
    reference.remove_prefix(key.size());
    size_t index = 0;
    if (place->is_array()) {
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), index);
      const bool valid =
          error == std::errc{} && end == key.data() + key.size() && index < place->items().size();
      place = valid ? &place->items()[index] : nullptr;
      continue;
    }
    for (const auto& [escape, character] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}}) {
      for (size_t at = 0; (at = key.find(escape, at)) != std::string::npos; ++at)
        key.replace(at, 2, character);
    }
    place = place->find(key);
  }
  return place;
}

}  // namespace sluice::chat
