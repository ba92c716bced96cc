// Bytes in and out of one connection: TCP, a Unix socket, or TLS over TCP.
//
// A virtual door and not a template: the HTTP code above is compiled once, and OpenSSL's headers
// stay in transport.cc.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "server/http/limits.h"

namespace sluice::server::http {

using Socket = boost::asio::generic::stream_protocol::socket;

struct ReadResult {
  enum class State { kBytes, kClosed, kTimeout };
  State state = State::kClosed;
  size_t bytes = 0;  // at least one with kBytes
};

class Transport {
 public:
  virtual ~Transport() = default;

  virtual boost::asio::awaitable<bool> handshake(Duration limit) = 0;
  virtual boost::asio::awaitable<ReadResult> read_some(std::span<char> into, Duration limit) = 0;
  // False: the client is gone, or took nothing for `limit`. `bytes` must outlive the call.
  virtual boost::asio::awaitable<bool> write(std::string_view bytes, Duration limit) = 0;
  // Says goodbye: no more bytes from us. Reading is still possible.
  virtual boost::asio::awaitable<void> shutdown_write() = 0;
  virtual void close() = 0;

  // While a request is answered nothing is read. This notices that the client closed its side (a
  // half-close counts) and calls `on_closed` once; bytes of a next request end the watch.
  virtual void watch_close(std::function<void()> on_closed) = 0;
  virtual void stop_watching() = 0;
};

// Certificate chain and key, once for all connections. Opaque: OpenSSL stays in transport.cc.
class TlsContext {
 public:
  static Result<std::shared_ptr<TlsContext>> load(const std::string& certificate_file,
                                                  const std::string& key_file);
  ~TlsContext();

  struct Data;
  Data& data() { return *data_; }

 private:
  TlsContext();
  std::unique_ptr<Data> data_;
};

std::unique_ptr<Transport> make_plain_transport(Socket socket);
std::unique_ptr<Transport> make_tls_transport(Socket socket, std::shared_ptr<TlsContext> context);

}  // namespace sluice::server::http
