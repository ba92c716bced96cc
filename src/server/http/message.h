// A request and an answer as the rest of the server sees them, free of the HTTP library's types.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::server::http {

// In the order they came or will be sent; names compare without regard to case.
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;

  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  void add(std::string name, std::string value);
  void set(std::string_view name, std::string value);                 // replaces all of that name
  std::optional<std::string_view> find(std::string_view name) const;  // the first
  // Whether a comma-separated list of tokens holds this one: "connection: keep-alive, close".
  bool has_token(std::string_view name, std::string_view token) const;
  const std::vector<Field>& fields() const { return fields_; }

 private:
  std::vector<Field> fields_;
};

bool equal_ignoring_case(std::string_view a, std::string_view b);
std::string_view trim(std::string_view text);  // spaces and tabs at both ends

struct Request {
  std::string method;
  std::string target;  // as sent
  std::string path;    // of the target: normalised (normalise_path), still percent-encoded
  Headers headers;
  std::string body;
  int version = 11;  // 10 or 11
  bool keep_alive = true;
  std::string id;    // X-Request-Id if it is well-formed, else ours
  std::string peer;  // address of the client, for the log
};

struct Response {
  int status = 200;
  Headers headers = {};
  std::string body = {};
};

std::string_view reason_phrase(int status);

// The path of a target: query cut off, doubled slashes and a doubled "/v1" collapsed (clients whose
// base address ends in /v1 already), trailing slashes cut off. Always begins with "/".
std::string normalise_path(std::string_view target);

// %41 -> A; nothing if an escape is malformed.
std::optional<std::string> percent_decode(std::string_view text);

// Status line and headers, the empty line included.
std::string serialise_head(int status, const Headers& headers, int version);

}  // namespace sluice::server::http
