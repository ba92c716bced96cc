#include "server/http/transport.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

namespace sluice::server::http {
namespace {

namespace asio = boost::asio;

using TlsStream = asio::ssl::stream<Socket>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// What watch_close() shares with its handler, which may run after the connection is gone.
struct Watch {
  std::function<void()> on_closed;
};

// `Stream` is Socket or TlsStream; bottom() is the socket itself.
//
// Time limits cancel the operation and leave the socket open, unlike beast::basic_stream: a client
// that is too slow is told so (408) before the connection ends.
template <typename Stream>
class StreamTransport : public Transport {
 public:
  explicit StreamTransport(const asio::any_io_executor& executor) : timer_(executor) {}

  asio::awaitable<ReadResult> read_some(std::span<char> into, Duration limit) override {
    start_timer(limit);
    const auto [error, bytes] =
        co_await stream().async_read_some(asio::buffer(into.data(), into.size()), kAwait);
    stop_timer();
    if (error && timed_out_) co_return ReadResult{ReadResult::State::kTimeout, 0};
    if (error || bytes == 0) co_return ReadResult{ReadResult::State::kClosed, 0};
    co_return ReadResult{ReadResult::State::kBytes, bytes};
  }

  asio::awaitable<bool> write(std::string_view bytes, Duration limit) override {
    // Piece by piece, so that the limit is on progress and not on the whole.
    while (!bytes.empty()) {
      start_timer(limit);
      const auto [error, written] =
          co_await stream().async_write_some(asio::buffer(bytes.data(), bytes.size()), kAwait);
      stop_timer();
      if (error) co_return false;
      bytes.remove_prefix(written);
    }
    co_return true;
  }

  void close() override {
    stop_watching();
    boost::system::error_code ignored;
    bottom().close(ignored);
  }

  void watch_close(std::function<void()> on_closed) override {
    watch_ = std::make_shared<Watch>(Watch{std::move(on_closed)});
    const int descriptor = bottom().native_handle();
    bottom().async_wait(Socket::wait_read, [watch = std::weak_ptr(watch_),
                                            descriptor](const boost::system::error_code& error) {
      const auto held = watch.lock();
      if (!held || error == asio::error::operation_aborted) return;
      char byte = 0;
      const auto peeked = ::recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      const bool still_open =
          peeked > 0 || (peeked < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
      if (!still_open && held->on_closed) held->on_closed();
    });
  }

  void stop_watching() override {
    if (!watch_) return;
    watch_.reset();
    boost::system::error_code ignored;
    bottom().cancel(ignored);
  }

 protected:
  virtual Stream& stream() = 0;
  virtual Socket& bottom() = 0;

  void start_timer(Duration limit) {
    timed_out_ = false;
    timer_.expires_after(limit);
    timer_.async_wait([this, alive = std::weak_ptr(alive_),
                       operation = ++operation_](const boost::system::error_code& error) {
      // The timer may have fired while the operation ended: then it belongs to no one.
      if (error || alive.expired() || operation != operation_) return;
      timed_out_ = true;
      boost::system::error_code ignored;
      bottom().cancel(ignored);
    });
  }
  void stop_timer() {
    ++operation_;
    timer_.cancel();
  }

 private:
  asio::steady_timer timer_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  uint64_t operation_ = 0;
  bool timed_out_ = false;
  std::shared_ptr<Watch> watch_;
};

class PlainTransport final : public StreamTransport<Socket> {
 public:
  explicit PlainTransport(Socket socket)
      : StreamTransport(socket.get_executor()), socket_(std::move(socket)) {}

  asio::awaitable<bool> handshake(Duration) override { co_return true; }
  asio::awaitable<void> shutdown_write() override {
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    co_return;
  }

 protected:
  Socket& stream() override { return socket_; }
  Socket& bottom() override { return socket_; }

 private:
  Socket socket_;
};

}  // namespace

struct TlsContext::Data {
  asio::ssl::context context{asio::ssl::context::tls_server};
};

TlsContext::TlsContext() : data_(std::make_unique<Data>()) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::load(const std::string& certificate_file,
                                                     const std::string& key_file) {
  std::shared_ptr<TlsContext> tls(new TlsContext());
  auto& context = tls->data_->context;
  boost::system::error_code error;
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                          asio::ssl::context::no_tlsv1_1,
                      error);
  if (!error) context.use_certificate_chain_file(certificate_file, error);
  if (error) {
    return bad_input("--tls-cert", certificate_file + ": " + error.message(),
                     "Give a PEM file with the certificate chain");
  }
  context.use_private_key_file(key_file, asio::ssl::context::pem, error);
  if (error) {
    return bad_input("--tls-key", key_file + ": " + error.message(),
                     "Give the PEM file with the certificate's private key");
  }
  return tls;
}

namespace {

class TlsTransport final : public StreamTransport<TlsStream> {
 public:
  TlsTransport(Socket socket, std::shared_ptr<TlsContext> context)
      : StreamTransport(socket.get_executor()),
        context_(std::move(context)),
        stream_(std::move(socket), context_->data().context) {}

  asio::awaitable<bool> handshake(Duration limit) override {
    start_timer(limit);
    const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kAwait);
    stop_timer();
    co_return !error;
  }
  asio::awaitable<void> shutdown_write() override {
    // The client's own goodbye is not waited for longer than a moment.
    start_timer(Duration(1000));
    co_await stream_.async_shutdown(kAwait);
    stop_timer();
  }

 protected:
  TlsStream& stream() override { return stream_; }
  Socket& bottom() override { return stream_.next_layer(); }

 private:
  std::shared_ptr<TlsContext> context_;  // outlives the stream
  TlsStream stream_;
};

}  // namespace

std::unique_ptr<Transport> make_plain_transport(Socket socket) {
  return std::make_unique<PlainTransport>(std::move(socket));
}

std::unique_ptr<Transport> make_tls_transport(Socket socket, std::shared_ptr<TlsContext> context) {
  return std::make_unique<TlsTransport>(std::move(socket), std::move(context));
}

}  // namespace sluice::server::http
