// The table of routes and the document that describes them.
#include "server/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "server/core/scripted_engine.h"
#include "server/model_fixture.h"
#include "server/resources.h"

namespace sluice::server {
namespace {

const Json& document() {
  static const Json parsed = [] {
    Result<Json> json = parse_json(find_resource("openapi.json")->bytes);
    EXPECT_TRUE(json.ok()) << (json.ok() ? "" : json.error().why);
    return json.ok() ? *json : Json::object();
  }();
  return parsed;
}

// "GET /v1/models/{id}"
std::set<std::string> described() {
  std::set<std::string> found;
  for (const auto& [path, methods] : document().find("paths")->members()) {
    for (const auto& [method, operation] : methods.members())
      found.insert((method == "get" ? "GET " : method == "post" ? "POST " : "DELETE ") + path);
  }
  return found;
}

struct WholeApi {
  boost::asio::thread_pool workers{1}, compilers{1};
  ServerOptions options = [] {
    ServerOptions made;
    made.quiet = true;
    return made;
  }();
  EngineHost host{make_scripted_engine({}, *test::model_text().tokenizer, {0}, {}),
                  {.requests = 1}};
  Api api{test::model_text(), options, host, workers, compilers};
};

TEST(Api, EveryRouteIsDescribedAndTheOtherWayRound) {
  WholeApi whole;
  std::set<std::string> registered;
  for (const http::Route& route : whole.api.routes()) {
    std::string pattern = route.pattern;
    if (const size_t rest = pattern.find("...}"); rest != std::string::npos) pattern.erase(rest, 3);
    EXPECT_TRUE(registered.insert(route.method + " " + pattern).second) << pattern << " twice";
  }
  ASSERT_GT(registered.size(), 40u);
  EXPECT_THAT(described(), ::testing::ContainerEq(registered));
}

TEST(Api, TheDescriptionSaysWhichRoutesNeedNoKey) {
  WholeApi whole;
  for (const http::Route& route : whole.api.routes()) {
    std::string pattern = route.pattern;
    if (const size_t rest = pattern.find("...}"); rest != std::string::npos) pattern.erase(rest, 3);
    const Json* path = document().find("paths")->find(pattern);
    ASSERT_NE(path, nullptr) << pattern;
    const Json* operation = path->find(route.method == "GET"    ? "get"
                                       : route.method == "POST" ? "post"
                                                                : "delete");
    ASSERT_NE(operation, nullptr) << pattern;
    const Json* security = operation->find("security");
    EXPECT_EQ(security != nullptr && security->items().empty(), route.free) << pattern;
  }
}

// Every "$ref" of the document leads to something in it.
void check_references(const Json& value) {
  if (value.is_array()) {
    for (const Json& item : value.items()) check_references(item);
  }
  if (!value.is_object()) return;
  for (const auto& [name, member] : value.members()) {
    if (name != "$ref") {
      check_references(member);
      continue;
    }
    const Json* at = &document();
    std::string_view rest = member.string();
    ASSERT_TRUE(rest.starts_with("#/")) << rest;
    rest.remove_prefix(2);
    while (at != nullptr && !rest.empty()) {
      const std::string_view step = rest.substr(0, rest.find('/'));
      at = at->find(step);
      rest.remove_prefix(std::min(rest.size(), step.size() + 1));
    }
    EXPECT_NE(at, nullptr) << member.string();
  }
}

TEST(Api, TheDescriptionHoldsTogether) { check_references(document()); }

TEST(Api, PageFilesAreInTheProgram) {
  for (const char* name : {"web/index.html", "web/style.css", "web/main.js", "openapi.json"}) {
    const Resource* resource = find_resource(name);
    ASSERT_NE(resource, nullptr) << name;
    EXPECT_GT(resource->bytes.size(), 100u) << name;
  }
  // Each file that the page names is there, and it names nothing from outside.
  const std::string_view page = find_resource("web/index.html")->bytes;
  EXPECT_EQ(page.find("http://"), std::string_view::npos);
  EXPECT_EQ(page.find("https://"), std::string_view::npos);
  for (size_t at = page.find("\"page/"); at != std::string_view::npos;
       at = page.find("\"page/", at + 1)) {
    const std::string_view name = page.substr(at + 6, page.find('"', at + 1) - at - 6);
    EXPECT_NE(find_resource("web/" + std::string(name)), nullptr) << name;
  }
}

}  // namespace
}  // namespace sluice::server
