// Which route a path belongs to. Pure: what a route does is its owner's.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::server::http {

struct Route {
  std::string method;     // "GET" also answers HEAD
  std::string pattern;    // "/v1/responses/{id}/cancel"; "{id...}" takes the rest, slashes included
  bool free = false;      // needs no key
  std::string name = {};  // for logs and metrics; the pattern if empty
};

struct Match {
  const Route* route = nullptr;  // null: no such path, or not with this method
  size_t index = 0;              // of the route, in the order they were added
  std::map<std::string, std::string> parameters;
  std::vector<std::string> allowed;  // methods that the path does take; empty: no such path
};

class Router {
 public:
  void add(Route route);
  const std::vector<Route>& routes() const { return routes_; }
  // `path` is normalised. The first route that fits wins. Values are percent-decoded; a malformed
  // escape fits nothing.
  Match find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace sluice::server::http
