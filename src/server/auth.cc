#include "server/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <optional>

namespace sluice::server {

namespace {

using Digest = std::array<unsigned char, 32>;

Digest sha256(std::string_view key) {
  Digest out{};
  EVP_Digest(key.data(), key.size(), out.data(), nullptr, EVP_sha256(), nullptr);
  return out;
}

// What a client presents, in the order in which it counts.
std::vector<std::string_view> offered_keys(const http::Headers& headers) {
  std::vector<std::string_view> keys;
  if (const auto value = headers.find("authorization")) {
    constexpr std::string_view kScheme = "bearer ";
    if (value->size() > kScheme.size() &&
        http::equal_ignoring_case(value->substr(0, kScheme.size()), kScheme))
      keys.push_back(http::trim(value->substr(kScheme.size())));
  }
  for (const char* name : {"x-api-key", "api-key"}) {
    if (const auto value = headers.find(name)) keys.push_back(http::trim(*value));
  }
  return keys;
}

}  // namespace

std::string user_scope(const http::Headers& headers) {
  const auto keys = offered_keys(headers);
  if (keys.empty()) return {};
  const Digest digest = sha256(keys.front());
  return {digest.begin(), digest.end()};
}

KeyRing::KeyRing(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) digests_.push_back(sha256(key));
}

bool KeyRing::knows(std::string_view key) const {
  const Digest offered = sha256(key);
  bool found = false;
  for (const Digest& known : digests_) {
    if (CRYPTO_memcmp(known.data(), offered.data(), offered.size()) == 0) found = true;
  }
  return found;
}

bool KeyRing::admits(const http::Headers& headers) const {
  if (open()) return true;
  for (const std::string_view key : offered_keys(headers)) {
    if (knows(key)) return true;
  }
  return false;
}

http::Headers CorsPolicy::headers(const http::Request& request) const {
  const auto origin = request.headers.find("origin");
  if (!origin) return {};
  const bool any = std::find(origins_.begin(), origins_.end(), "*") != origins_.end();
  const bool listed = std::find(origins_.begin(), origins_.end(), *origin) != origins_.end();
  if (!any && !listed) return {};
  http::Headers headers;
  headers.add("access-control-allow-origin", listed ? std::string(*origin) : "*");
  if (listed) headers.add("access-control-allow-credentials", "true");
  headers.add("access-control-expose-headers", "x-request-id, request-id, retry-after");
  headers.add("vary", "origin");
  return headers;
}

http::Response CorsPolicy::preflight(const http::Request& request) const {
  http::Response response;
  response.status = 204;
  response.headers = headers(request);
  if (response.headers.fields().empty()) return response;
  response.headers.add("access-control-allow-methods", "GET, POST, DELETE, OPTIONS, HEAD");
  if (const auto wanted = request.headers.find("access-control-request-headers"))
    response.headers.add("access-control-allow-headers", std::string(*wanted));
  response.headers.add("access-control-max-age", "600");
  return response;
}

}  // namespace sluice::server
