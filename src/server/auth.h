// Who may speak to the server (serving-ops.md 7.6, 7.7).
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/message.h"

namespace sluice::server {

// Keys are kept as digests and compared in constant time.
class KeyRing {
 public:
  explicit KeyRing(const std::vector<std::string>& keys);
  bool open() const { return digests_.empty(); }
  // Authorization: Bearer, x-api-key or api-key.
  bool admits(const http::Headers& headers) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  bool knows(std::string_view key) const;
  std::vector<Digest> digests_;
};

// Tells users apart by what they present, whether or not a key is needed: a digest, empty without.
std::string user_scope(const http::Headers& headers);

// Which pages of other origins may call. Never credentials with "any origin".
class CorsPolicy {
 public:
  explicit CorsPolicy(std::vector<std::string> origins) : origins_(std::move(origins)) {}
  // Headers for an answer to this request; empty if it has no origin or a foreign one.
  http::Headers headers(const http::Request& request) const;
  http::Response preflight(const http::Request& request) const;

 private:
  std::vector<std::string> origins_;
};

}  // namespace sluice::server
