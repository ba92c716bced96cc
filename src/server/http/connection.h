// The life of one connection: request after request, each within its limits.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "server/http/exchange.h"
#include "server/http/limits.h"
#include "server/http/request_parser.h"
#include "server/http/transport.h"

namespace sluice::server::http {

// What the layer above decides: where a request goes, and how an error looks.
class Service {
 public:
  virtual ~Service() = default;
  // Answers the request; must call respond() or the stream functions. Exceptions become a 500.
  virtual boost::asio::awaitable<void> serve(Exchange& exchange) = 0;
  // The body of an error that the HTTP layer itself has to report, in the shape of the request's
  // family as far as its head was read.
  virtual Response error(const Request& request, const BadRequest& failure) = 0;
};

class Connection {
 public:
  enum class Phase { kWaiting, kReading, kAnswering, kEnding };

  Connection(std::unique_ptr<Transport> transport, std::string peer, Service& service,
             const Limits& limits, boost::asio::any_io_executor executor);
  ~Connection();

  boost::asio::awaitable<void> run();

  Phase phase() const { return phase_; }
  // The end of this connection: at once if it is not answering, else after the present answer.
  void finish();
  void abort();

 private:
  class Answer;
  boost::asio::awaitable<bool> read_request(Request& request);
  boost::asio::awaitable<void> refuse(const Request& request, const BadRequest& failure);
  boost::asio::awaitable<void> linger();

  std::unique_ptr<Transport> transport_;
  const std::string peer_;
  Service& service_;
  const Limits limits_;
  const boost::asio::any_io_executor executor_;
  std::string buffer_;  // read and not yet used: a pipelined request
  Phase phase_ = Phase::kWaiting;
  bool finishing_ = false;
  bool served_ = false;  // a request has been answered
};

// A well-formed id of the client's, or a fresh one (serving-ops.md 7.8).
std::string request_id(std::string_view offered);

}  // namespace sluice::server::http
