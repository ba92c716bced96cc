// The web page at "/", its parts under "/page/", and the OpenAPI document: bytes of the program.
#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "server/api.h"
#include "server/openai/errors.h"
#include "server/resources.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

std::string_view content_type(std::string_view name) {
  struct Row {
    std::string_view ending, type;
  };
  constexpr Row kTypes[] = {{".html", "text/html; charset=utf-8"},
                            {".css", "text/css; charset=utf-8"},
                            {".js", "text/javascript; charset=utf-8"},
                            {".json", "application/json"},
                            {".svg", "image/svg+xml"}};
  for (const Row& row : kTypes) {
    if (name.ends_with(row.ending)) return row.type;
  }
  return "application/octet-stream";
}

std::string entity_tag(std::string_view bytes) {
  std::array<unsigned char, 32> digest{};
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  std::string tag = "\"";
  for (size_t i = 0; i < 12; ++i) tag += fmt::format("{:02x}", digest[i]);
  return tag + "\"";
}

// If-None-Match: a list of tags, weak ones count as equal, or "*".
bool holds_tag(const http::Headers& headers, std::string_view tag) {
  const auto field = headers.find("if-none-match");
  if (!field) return false;
  std::string_view rest = *field;
  while (!rest.empty()) {
    std::string_view one = http::trim(rest.substr(0, rest.find(',')));
    rest.remove_prefix(
        std::min(rest.size(), rest.find(',') == rest.npos ? rest.size() : rest.find(',') + 1));
    if (one == "*") return true;
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == tag) return true;
  }
  return false;
}

http::Response resource_response(const http::Request& request, const Resource& resource) {
  http::Response response;
  const std::string tag = entity_tag(resource.bytes);
  response.headers.set("etag", tag);
  // Asked again at each load, answered with 304: a new sluice never meets an old page.
  response.headers.set("cache-control", "no-cache");
  response.headers.set("x-content-type-options", "nosniff");
  response.headers.set("referrer-policy", "no-referrer");
  response.headers.set("content-security-policy",
                       "default-src 'self'; base-uri 'none'; form-action 'none'; "
                       "frame-ancestors 'none'; object-src 'none'");
  if (holds_tag(request.headers, tag)) {
    response.status = 304;
    return response;
  }
  response.headers.set("content-type", std::string(content_type(resource.name)));
  response.body = resource.bytes;
  return response;
}

}  // namespace

void Api::add_page_routes() {
  const auto fixed = [](std::string_view name) {
    return [name](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
      http::Response response = resource_response(exchange.request(), *find_resource(name));
      co_await exchange.respond(std::move(response));
    };
  };
  get("/", fixed("web/index.html"), true);
  get("/openapi.json", fixed("openapi.json"));
  get(
      "/page/{name}",
      [](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
        const http::Request& request = exchange.request();
        const Resource* resource = find_resource("web/" + exchange.parameters.at("name"));
        http::Response response;
        if (resource != nullptr) {
          response = resource_response(request, *resource);
        } else {
          ApiError error;
          error.kind = ApiError::Kind::kNotFound;
          error.message = fmt::format("there is no {} {}", request.method, request.path);
          response = openai::error_response(error);
        }
        co_await exchange.respond(std::move(response));
      },
      true);
}

}  // namespace sluice::server
