#include "server/http/router.h"

#include <algorithm>
#include <optional>

#include "server/http/message.h"

namespace sluice::server::http {
namespace {

// Segment by segment; the values of the pattern's parameters, or nothing.
std::optional<std::map<std::string, std::string>> fit(std::string_view pattern,
                                                      std::string_view path) {
  std::map<std::string, std::string> values;
  while (!pattern.empty() && !path.empty()) {
    pattern.remove_prefix(1);  // both begin with "/"
    path.remove_prefix(1);
    const std::string_view wanted = pattern.substr(0, pattern.find('/'));
    std::string_view given = path.substr(0, path.find('/'));
    if (wanted.starts_with("{")) {
      std::string_view name = wanted.substr(1, wanted.size() - 2);
      if (name.ends_with("...")) {
        name.remove_suffix(3);
        given = path;
      }
      const auto value = percent_decode(given);
      if (!value || value->empty()) return std::nullopt;
      values.emplace(name, *value);
    } else if (wanted != given) {
      return std::nullopt;
    }
    pattern.remove_prefix(wanted.size());
    path.remove_prefix(given.size());
  }
  if (!pattern.empty() || !path.empty()) return std::nullopt;
  return values;
}

}  // namespace

void Router::add(Route route) {
  if (route.name.empty()) route.name = route.pattern;
  routes_.push_back(std::move(route));
}

Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  for (size_t i = 0; i < routes_.size(); ++i) {
    const Route& route = routes_[i];
    auto values = fit(route.pattern, path);
    if (!values) continue;
    const bool head = route.method == "GET" && method == "HEAD";
    if (route.method == method || head) {
      match.route = &route;
      match.index = i;
      match.parameters = std::move(*values);
      return match;
    }
    const auto allow = [&](const std::string& name) {
      if (std::find(match.allowed.begin(), match.allowed.end(), name) == match.allowed.end())
        match.allowed.push_back(name);
    };
    allow(route.method);
    if (route.method == "GET") allow("HEAD");
  }
  return match;
}

}  // namespace sluice::server::http
