// Listens, keeps the connections, and lets them go in order (serving-ops.md 7.3).
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/http/connection.h"

namespace sluice::server::http {

struct ListenOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;           // 0: any free one
  std::string unix_path = {};  // instead of host and port
  std::shared_ptr<TlsContext> tls = nullptr;
  Limits limits = {};
};

// All of it runs on the one thread of `context`: connections share nothing that needs a lock.
class Server {
 public:
  // `service` must outlive the server. Errors: the address is in use, cannot be resolved, ...
  static Result<std::unique_ptr<Server>> listen(boost::asio::io_context& context,
                                                const ListenOptions& options, Service& service);
  ~Server();

  // "http://127.0.0.1:8080", "unix:/run/sluice.sock"; the port that was chosen for 0.
  const std::string& address() const;
  bool beyond_loopback() const;  // other machines can reach it
  size_t connections() const;
  size_t answering() const;

  void close_listener();      // no new connections
  void finish_connections();  // idle ones end now, busy ones after their answer
  void abort_connections();

 private:
  class Data;
  explicit Server(std::shared_ptr<Data> data);
  std::shared_ptr<Data> data_;
};

}  // namespace sluice::server::http
