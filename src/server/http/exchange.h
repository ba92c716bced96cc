// One request and its answer, as a handler sees them.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "server/http/message.h"

namespace sluice::server::http {

class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const Request& request() const = 0;
  virtual boost::asio::any_io_executor executor() const = 0;

  // Exactly one of: respond() once; or begin_stream(), send() any number of times, end_stream().
  // All of them return false when the client is gone; nothing more can be said to it then.
  virtual boost::asio::awaitable<bool> respond(Response response) = 0;
  virtual boost::asio::awaitable<bool> begin_stream(int status, Headers headers) = 0;
  virtual boost::asio::awaitable<bool> send(std::string text) = 0;
  virtual boost::asio::awaitable<bool> end_stream() = 0;

  // Called once, on the executor, when the client leaves before its answer is complete. At most one
  // function; an empty one removes it.
  virtual void on_disconnect(std::function<void()> callback) = 0;

  // A header that goes with whatever is answered: request id, CORS.
  virtual void add_header(std::string name, std::string value) = 0;
  virtual int status() const = 0;  // what was answered; 0 before
  virtual size_t bytes_sent() const = 0;

  // Values of the route's pattern, percent-decoded: "/v1/models/{id...}" gives "id".
  std::map<std::string, std::string> parameters;
};

}  // namespace sluice::server::http
