// Connections over real sockets: keep-alive, pipelines, limits, streams, disconnects.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <future>
#include <thread>

#include "server/http/server.h"
#include "support/paths.h"

namespace sluice::server::http {
namespace {

namespace asio = boost::asio;

// Echoes; /stream sends events until the client leaves; /throw is a bug.
class EchoService final : public Service {
 public:
  asio::awaitable<void> serve(Exchange& exchange) override {
    const Request& request = exchange.request();
    exchange.add_header("x-request-id", request.id);
    if (request.path == "/throw") throw std::runtime_error("a bug");
    if (request.path == "/stream") {
      exchange.on_disconnect([this] { disconnected = true; });
      Headers headers;
      headers.add("content-type", "text/event-stream");
      co_await exchange.begin_stream(200, std::move(headers));
      asio::steady_timer timer(exchange.executor());
      const int64_t count = request.body.empty() ? 100'000 : std::stoll(request.body);
      for (int64_t i = 0; i < count && !disconnected; ++i) {
        if (!co_await exchange.send("data: " + std::to_string(i) + "\n\n")) break;
        timer.expires_after(std::chrono::milliseconds(1));
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
      }
      co_await exchange.end_stream();
      co_return;
    }
    if (request.path == "/wait") {
      exchange.on_disconnect([this] { disconnected = true; });
      asio::steady_timer timer(exchange.executor());
      while (!disconnected) {
        timer.expires_after(std::chrono::milliseconds(1));
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
      }
      co_return;
    }
    Response response;
    response.body = request.method + " " + request.path + " " + request.body;
    co_await exchange.respond(std::move(response));
  }
  Response error(const Request&, const BadRequest& failure) override {
    return {failure.status, {{"x-shape", "ours"}}, failure.message};
  }
  std::atomic<bool> disconnected{false};
};

// A server on a thread of its own.
class Running {
 public:
  explicit Running(ListenOptions options = {}) {
    auto made = Server::listen(context_, options, service);
    EXPECT_TRUE(made.ok());
    server_ = std::move(*made);
    address = server_->address();
    thread_ = std::thread([this] { context_.run(); });
  }
  ~Running() {
    asio::post(context_, [this] { context_.stop(); });
    thread_.join();
    server_.reset();
  }
  size_t connections() {
    std::promise<size_t> count;
    asio::post(context_, [&] { count.set_value(server_->connections()); });
    return count.get_future().get();
  }
  uint16_t port() const {
    return static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  }
  EchoService service;
  std::string address;

 private:
  asio::io_context context_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  explicit Client(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    connected = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void send(const std::string& bytes) { ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Until `end` has been seen, or the server closes; at most five seconds of silence.
  std::string read_until(const std::string& end) {
    std::string text;
    while (end.empty() || text.find(end) == std::string::npos) {
      pollfd poll_entry{socket_, POLLIN, 0};
      if (::poll(&poll_entry, 1, 5000) <= 0) return text + "<silence>";
      char buffer[4096];
      const ssize_t size = ::recv(socket_, buffer, sizeof buffer, 0);
      if (size <= 0) return text + "<closed>";
      text.append(buffer, static_cast<size_t>(size));
    }
    return text;
  }
  bool connected = false;

 private:
  int socket_;
};

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 500; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(HttpServer, KeepsAliveAndAnswersPipelinesInOrder) {
  Running server;
  Client client(server.port());
  ASSERT_TRUE(client.connected);
  client.send(
      "GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyzHEAD /c "
      "HTTP/1.1\r\n\r\nGET /last HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string text = client.read_until("");
  const size_t a = text.find("GET /a "), b = text.find("POST /b xyz"),
               last = text.find("GET /last");
  EXPECT_LT(a, b);
  EXPECT_LT(b, last);
  EXPECT_NE(last, std::string::npos);
  EXPECT_EQ(text.find("HEAD /c"), std::string::npos) << "the answer to HEAD has no body";
  EXPECT_TRUE(text.ends_with("<closed>"));
}

TEST(HttpServer, RequestIdsAreEchoedOrMade) {
  Running server;
  Client client(server.port());
  client.send("GET /a HTTP/1.1\r\nX-Request-Id: mine-1\r\n\r\n");
  EXPECT_NE(client.read_until("GET /a").find("x-request-id: mine-1\r\n"), std::string::npos);
  client.send("GET /a HTTP/1.1\r\nX-Request-Id: no spaces\r\n\r\n");
  const std::string text = client.read_until("GET /a");
  EXPECT_EQ(text.find("no spaces"), std::string::npos);
  EXPECT_NE(text.find("x-request-id: "), std::string::npos);
}

TEST(HttpServer, BadRequestsGetTheServicesErrorAndEnd) {
  Running server;
  Client client(server.port());
  client.send("nonsense\r\n\r\n");
  const std::string text = client.read_until("");
  EXPECT_EQ(text.rfind("HTTP/1.1 400 ", 0), 0u) << text;
  EXPECT_NE(text.find("x-shape: ours"), std::string::npos);
  EXPECT_TRUE(text.ends_with("<closed>"));
}

TEST(HttpServer, OversizedBodiesAreToldSo) {
  ListenOptions options;
  options.limits.body_bytes = 1000;
  Running server(options);
  Client client(server.port());
  client.send("POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x'));
  EXPECT_EQ(client.read_until("").rfind("HTTP/1.1 413 ", 0), 0u);
}

TEST(HttpServer, ContinueIsGiven) {
  Running server;
  Client client(server.port());
  client.send("POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_NE(client.read_until("\r\n\r\n").find("100 Continue"), std::string::npos);
  client.send("ok");
  EXPECT_NE(client.read_until("POST /e ok").find("200 OK"), std::string::npos);
}

TEST(HttpServer, SlowHeadsEndWith408AndBlockNobody) {
  ListenOptions options;
  options.limits.header_time = Duration(200);
  Running server(options);
  std::vector<std::unique_ptr<Client>> slow;
  for (int i = 0; i < 150; ++i) {
    slow.push_back(std::make_unique<Client>(server.port()));
    slow.back()->send("GET / HTTP/1.1\r\nX: ");
  }
  Client client(server.port());
  client.send("GET /fast HTTP/1.1\r\n\r\n");
  EXPECT_NE(client.read_until("GET /fast").find("200 OK"), std::string::npos);
  EXPECT_EQ(slow.front()->read_until("").rfind("HTTP/1.1 408 ", 0), 0u);
}

TEST(HttpServer, AtTheLimitTheOldestWaitingConnectionGoes) {
  ListenOptions options;
  options.limits.connections = 3;
  Running server(options);
  Client first(server.port()), second(server.port()), third(server.port());
  ASSERT_TRUE(eventually([&] { return server.connections() == 3; }));
  Client fourth(server.port());
  fourth.send("GET /heard HTTP/1.1\r\n\r\n");
  EXPECT_NE(fourth.read_until("GET /heard").find("200 OK"), std::string::npos);
  EXPECT_EQ(first.read_until(""), "<closed>");
  EXPECT_TRUE(eventually([&] { return server.connections() == 3; }));
}

TEST(HttpServer, StreamsInChunksAndGoesOn) {
  Running server;
  Client client(server.port());
  client.send("POST /stream HTTP/1.1\r\nContent-Length: 1\r\n\r\n2");
  const std::string text = client.read_until("0\r\n\r\n");
  EXPECT_NE(text.find("transfer-encoding: chunked"), std::string::npos);
  EXPECT_NE(text.find("9\r\ndata: 0\n\n\r\n9\r\ndata: 1\n\n\r\n0\r\n\r\n"), std::string::npos);
  client.send("GET /after HTTP/1.1\r\n\r\n");
  EXPECT_NE(client.read_until("GET /after").find("200 OK"), std::string::npos);
}

TEST(HttpServer, OldClientsGetStreamsWithoutChunks) {
  Running server;
  Client client(server.port());
  client.send("POST /stream HTTP/1.0\r\nContent-Length: 1\r\n\r\n2");
  const std::string text = client.read_until("");
  EXPECT_TRUE(text.ends_with("\r\n\r\ndata: 0\n\ndata: 1\n\n<closed>")) << text;
}

TEST(HttpServer, ALeavingClientIsNoticed) {
  for (const char* path : {"/stream", "/wait"}) {
    Running server;
    Client client(server.port());
    client.send(std::string("GET ") + path + " HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(eventually([&] { return server.connections() == 1; }));
    client.close();
    EXPECT_TRUE(eventually([&] { return server.service.disconnected.load(); })) << path;
    EXPECT_TRUE(eventually([&] { return server.connections() == 0; })) << path;
  }
}

TEST(HttpServer, ABugIsA500AndTheServerGoesOn) {
  Running server;
  Client client(server.port());
  client.send("GET /throw HTTP/1.1\r\n\r\n");
  EXPECT_NE(client.read_until("internal error").find("HTTP/1.1 500 "), std::string::npos);
  client.send("GET /after HTTP/1.1\r\n\r\n");
  EXPECT_NE(client.read_until("GET /after").find("200 OK"), std::string::npos);
}

TEST(HttpServer, UnixSocket) {
  const test::TemporaryFolder folder;
  ListenOptions options;
  options.unix_path = (folder.path() / "s").string();
  Running server(options);
  EXPECT_EQ(server.address, "unix:" + options.unix_path);
  Client client(options.unix_path);
  ASSERT_TRUE(client.connected);
  client.send("GET /a HTTP/1.1\r\n\r\n");
  EXPECT_NE(client.read_until("GET /a").find("200 OK"), std::string::npos);
}

TEST(HttpServer, AUsedPortAndAForeignFileAreErrors) {
  Running server;
  asio::io_context context;
  EchoService service;
  ListenOptions options;
  options.port = server.port();
  EXPECT_FALSE(Server::listen(context, options, service).ok());
  ListenOptions file;
  file.unix_path = (test::tests_folder() / "CMakeLists.txt").string();
  EXPECT_FALSE(Server::listen(context, file, service).ok());
}

}  // namespace
}  // namespace sluice::server::http
