#include "server/http/server.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>

#include "base/log.h"

namespace sluice::server::http {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using Local = asio::local::stream_protocol;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

std::string text_of(const Tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", address, endpoint.port())
                                    : fmt::format("{}:{}", address, endpoint.port());
}

}  // namespace

class Server::Data : public std::enable_shared_from_this<Server::Data> {
 public:
  Data(asio::io_context& c, const ListenOptions& o, Service& s)
      : context(c), options(o), service(s) {}

  Status open_tcp();
  Status open_unix();
  template <typename Acceptor>
  asio::awaitable<void> accept_loop(Acceptor& acceptor);
  void start(Socket socket, std::string peer);
  bool make_room();

  asio::io_context& context;
  const ListenOptions options;
  Service& service;
  std::string address;
  std::optional<Tcp::acceptor> tcp;
  std::optional<Local::acceptor> local;
  std::list<std::shared_ptr<Connection>> connections;  // oldest first
};

Status Server::Data::open_tcp() {
  boost::system::error_code error;
  Tcp::resolver resolver(context);
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port),
                       Tcp::resolver::passive | Tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    return usage_error("--host", fmt::format("{} is not an address of this machine: {}",
                                             options.host, error.message()));
  }
  const Tcp::endpoint endpoint = *found.begin();
  tcp.emplace(context);
  tcp->open(endpoint.protocol(), error);
  if (!error) tcp->set_option(asio::socket_base::reuse_address(true), error);
  if (!error) tcp->bind(endpoint, error);
  if (!error) tcp->listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    return failed(fmt::format("listening on {}", text_of(endpoint)), error.message(),
                  "Choose another --port");
  }
  address = fmt::format("{}://{}", options.tls ? "https" : "http", text_of(tcp->local_endpoint()));
  return {};
}

Status Server::Data::open_unix() {
  // A socket file that a killed server left behind is in the way; anything else there is not ours.
  struct stat status {};
  if (::lstat(options.unix_path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode))
      return usage_error("--unix", options.unix_path + " exists and is not a socket");
    boost::system::error_code error;
    Local::socket probe(context);
    probe.connect(Local::endpoint(options.unix_path), error);
    if (!error) return failed("--unix", options.unix_path + " is in use by another server");
    ::unlink(options.unix_path.c_str());
  }
  boost::system::error_code error;
  local.emplace(context);
  local->open(Local(), error);
  if (!error && options.unix_path.size() >= sizeof(sockaddr_un::sun_path))
    return usage_error("--unix", options.unix_path + " is too long for a socket");
  if (!error) local->bind(Local::endpoint(options.unix_path), error);
  if (!error) local->listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed("listening on " + options.unix_path, error.message());
  address = "unix:" + options.unix_path;
  return {};
}

template <typename Acceptor>
asio::awaitable<void> Server::Data::accept_loop(Acceptor& acceptor) {
  const auto self = shared_from_this();
  while (acceptor.is_open()) {
    typename Acceptor::protocol_type::endpoint endpoint;
    auto [error, socket] = co_await acceptor.async_accept(endpoint, kAwait);
    if (error == asio::error::operation_aborted || !acceptor.is_open()) co_return;
    if (error) {
      // Out of descriptors, mostly: the oldest waiting client has to go, and trying again at once
      // would only spin.
      log_warning("accepting a connection: {}", error.message());
      make_room();
      asio::steady_timer pause(context, std::chrono::milliseconds(50));
      co_await pause.async_wait(kAwait);
      continue;
    }
    std::string peer = "local";
    if constexpr (std::is_same_v<Acceptor, Tcp::acceptor>) {
      boost::system::error_code ignored;
      socket.set_option(Tcp::no_delay(true), ignored);
      peer = text_of(endpoint);
    }
    start(Socket(std::move(socket)), std::move(peer));
  }
}

void Server::Data::start(Socket socket, std::string peer) {
  // If all are busy, the new one is closed unheard.
  if (connections.size() >= options.limits.connections && !make_room()) return;
  auto transport = options.tls ? make_tls_transport(std::move(socket), options.tls)
                               : make_plain_transport(std::move(socket));
  auto connection = std::make_shared<Connection>(std::move(transport), std::move(peer), service,
                                                 options.limits, context.get_executor());
  const auto place = connections.insert(connections.end(), connection);
  asio::co_spawn(context, connection->run(),
                 [self = shared_from_this(), connection, place](const std::exception_ptr& failure) {
                   if (failure) log_message(LogLevel::kError, "a connection ended by a bug");
                   self->connections.erase(place);
                 });
}

// Ends the connection that has kept us waiting longest for a request: with many half-open ones a
// client that has something to say is still heard.
bool Server::Data::make_room() {
  for (const auto& connection : connections) {
    if (connection->phase() != Connection::Phase::kWaiting &&
        connection->phase() != Connection::Phase::kReading)
      continue;
    connection->abort();
    return true;
  }
  return false;
}

Result<std::unique_ptr<Server>> Server::listen(asio::io_context& context,
                                               const ListenOptions& options, Service& service) {
  auto data = std::make_shared<Data>(context, options, service);
  SLUICE_TRY(options.unix_path.empty() ? data->open_tcp() : data->open_unix());
  if (data->tcp) asio::co_spawn(context, data->accept_loop(*data->tcp), asio::detached);
  if (data->local) asio::co_spawn(context, data->accept_loop(*data->local), asio::detached);
  return std::unique_ptr<Server>(new Server(std::move(data)));
}

Server::Server(std::shared_ptr<Data> data) : data_(std::move(data)) {}
Server::~Server() {
  close_listener();
  abort_connections();
}

const std::string& Server::address() const { return data_->address; }
bool Server::beyond_loopback() const {
  if (!data_->tcp) return false;
  boost::system::error_code ignored;
  return !data_->tcp->local_endpoint(ignored).address().is_loopback();
}

size_t Server::connections() const { return data_->connections.size(); }

size_t Server::answering() const {
  size_t count = 0;
  for (const auto& connection : data_->connections)
    count += connection->phase() == Connection::Phase::kAnswering ? 1 : 0;
  return count;
}

void Server::close_listener() {
  boost::system::error_code ignored;
  if (data_->tcp && data_->tcp->is_open()) data_->tcp->close(ignored);
  if (data_->local && data_->local->is_open()) {
    data_->local->close(ignored);
    ::unlink(data_->options.unix_path.c_str());
  }
}

void Server::finish_connections() {
  for (const auto& connection : data_->connections) connection->finish();
}

void Server::abort_connections() {
  for (const auto& connection : data_->connections) connection->abort();
}

}  // namespace sluice::server::http
