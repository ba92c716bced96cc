#include "support/well_formed_xml.h"

#include <vector>

namespace sluice::test {

bool well_formed_xml(std::string_view text) {
  std::vector<std::string_view> open;
  bool seen = false;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '&') {
      const size_t end = text.find(';', at);
      if (end == std::string_view::npos) return false;
      const std::string_view name = text.substr(at + 1, end - at - 1);
      if (name != "amp" && name != "lt" && name != "gt" && name != "quot") return false;
      at = end + 1;
      continue;
    }
    if (text[at] != '<') {
      if (open.empty() && text[at] != '\n') return false;
      ++at;
      continue;
    }
    const size_t end = text.find('>', at);
    if (end == std::string_view::npos) return false;
    std::string_view tag = text.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
      continue;
    }
    if (open.empty() && seen) return false;
    seen = true;
    const bool empty = tag.ends_with('/');
    if (empty) tag.remove_suffix(1);
    if (tag.find('<') != std::string_view::npos) return false;
    const std::string_view name = tag.substr(0, tag.find(' '));
    std::string_view rest = tag.substr(name.size());
    while (!rest.empty()) {
      const size_t equals = rest.find("=\"");
      if (equals == std::string_view::npos) return false;
      const size_t close = rest.find('"', equals + 2);
      if (close == std::string_view::npos) return false;
      rest.remove_prefix(close + 1);
    }
    if (!empty) open.push_back(name);
  }
  return seen && open.empty();
}

}  // namespace sluice::test
