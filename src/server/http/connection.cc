#include "server/http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <random>

#include "base/log.h"

namespace sluice::server::http {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[64];
  const size_t size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text, size);
}

bool has_no_body(int status) { return status == 204 || status == 304 || status < 200; }

}  // namespace

std::string request_id(std::string_view offered) {
  const auto fine = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == ':' || c == '-';
  };
  if (!offered.empty() && offered.size() <= 128 &&
      std::all_of(offered.begin(), offered.end(), fine)) {
    return std::string(offered);
  }
  static thread_local std::mt19937_64 generator{std::random_device{}()};
  return fmt::format("{:016x}{:016x}", generator(), generator());
}

class Connection::Answer final : public Exchange {
 public:
  Answer(Connection& connection, const Request& request)
      : connection_(connection), request_(request), head_only_(request.method == "HEAD") {}

  const Request& request() const override { return request_; }
  asio::any_io_executor executor() const override { return connection_.executor_; }

  asio::awaitable<bool> respond(Response response) override {
    Headers headers = head(std::move(response.headers));
    if (!has_no_body(response.status))
      headers.set("content-length", std::to_string(response.body.size()));
    std::string bytes = serialise_head(response.status, headers, request_.version);
    if (!head_only_ && !has_no_body(response.status)) bytes += response.body;
    status_ = response.status;
    complete_ = true;
    co_return co_await write(bytes);
  }

  asio::awaitable<bool> begin_stream(int status, Headers fields) override {
    // HTTP/1.0 has no chunks: the end of the connection ends the stream.
    chunked_ = request_.version >= 11;
    if (!chunked_) keep_alive_ = false;
    Headers headers = head(std::move(fields));
    if (chunked_) headers.set("transfer-encoding", "chunked");
    status_ = status;
    const std::string bytes = serialise_head(status, headers, request_.version);
    co_return co_await write(bytes);
  }

  asio::awaitable<bool> send(std::string text) override {
    if (text.empty() || head_only_) co_return !gone_;
    const std::string bytes = chunked_ ? fmt::format("{:x}\r\n{}\r\n", text.size(), text) : text;
    co_return co_await write(bytes);
  }

  asio::awaitable<bool> end_stream() override {
    complete_ = true;
    if (!chunked_ || head_only_) co_return !gone_;
    const std::string bytes = "0\r\n\r\n";
    co_return co_await write(bytes);
  }

  void on_disconnect(std::function<void()> callback) override {
    callback_ = std::move(callback);
    if (!callback_) return connection_.transport_->stop_watching();
    // A next request in the buffer already: the client is there, and its going can be seen only
    // when we write.
    if (!connection_.buffer_.empty()) return;
    connection_.transport_->watch_close([this] { lost(); });
  }

  void add_header(std::string name, std::string value) override {
    extra_.add(std::move(name), std::move(value));
  }
  int status() const override { return status_; }
  size_t bytes_sent() const override { return sent_; }

  bool started() const { return status_ != 0; }
  bool keep_alive() const { return keep_alive_ && complete_ && !gone_; }

 private:
  Headers head(Headers headers) {
    keep_alive_ = keep_alive_ && request_.keep_alive && !connection_.finishing_ &&
                  !headers.has_token("connection", "close");
    headers.set("date", http_date());
    headers.set("server", "sluice");
    headers.set("connection", keep_alive_ ? "keep-alive" : "close");
    for (const auto& [name, value] : extra_.fields()) headers.set(name, value);
    return headers;
  }

  asio::awaitable<bool> write(const std::string& bytes) {
    if (gone_) co_return false;
    const bool written =
        co_await connection_.transport_->write(bytes, connection_.limits_.stalled_client);
    if (!written) lost();
    if (written) sent_ += bytes.size();
    co_return written;
  }

  void lost() {
    if (gone_) return;
    gone_ = true;
    keep_alive_ = false;
    if (callback_) std::exchange(callback_, nullptr)();
  }

  Connection& connection_;
  const Request& request_;
  const bool head_only_;
  Headers extra_;
  std::function<void()> callback_;
  bool chunked_ = false, complete_ = false, gone_ = false, keep_alive_ = true;
  int status_ = 0;
  size_t sent_ = 0;
};

Connection::Connection(std::unique_ptr<Transport> transport, std::string peer, Service& service,
                       const Limits& limits, asio::any_io_executor executor)
    : transport_(std::move(transport)),
      peer_(std::move(peer)),
      service_(service),
      limits_(limits),
      executor_(std::move(executor)) {}

Connection::~Connection() = default;

void Connection::finish() {
  finishing_ = true;
  if (phase_ == Phase::kWaiting) abort();
}

void Connection::abort() {
  phase_ = Phase::kEnding;
  finishing_ = true;
  transport_->close();
}

asio::awaitable<void> Connection::run() {
  if (!co_await transport_->handshake(limits_.header_time)) co_return transport_->close();
  bool keep_alive = true;
  while (keep_alive && !finishing_) {
    Request request;
    phase_ = Phase::kWaiting;
    if (!co_await read_request(request)) break;
    phase_ = Phase::kAnswering;
    Answer answer(*this, request);
    bool failed = false;
    try {
      co_await service_.serve(answer);
    } catch (const std::exception& error) {
      log_message(LogLevel::kError, fmt::format("request {} {} {}: {}", request.id, request.method,
                                                request.path, error.what()));
      failed = true;
    }
    answer.on_disconnect(nullptr);
    if (!answer.started()) {
      // A handler that gave no answer is a bug of ours, and so is one that threw.
      Response response = service_.error(request, {500, "internal error"});
      co_await answer.respond(std::move(response));
    } else if (failed) {
      break;
    }
    keep_alive = answer.keep_alive();
    served_ = true;
  }
  co_await transport_->shutdown_write();
  transport_->close();
}

// False when there is no request any more: the client left, was too slow, or was refused.
asio::awaitable<bool> Connection::read_request(Request& request) {
  RequestParser parser(limits_);
  const Clock::time_point begin = Clock::now();
  // Only a client that has been answered may take its time to come back.
  const bool idle = served_ && buffer_.empty();
  Clock::time_point deadline = begin + (idle ? limits_.idle_time : limits_.header_time);
  bool head_seen = false;
  std::string input(16 << 10, '\0');
  while (true) {
    buffer_.erase(0, parser.feed(buffer_));
    if (parser.started() && phase_ == Phase::kWaiting) {
      phase_ = Phase::kReading;
      deadline = Clock::now() + limits_.header_time;
    }
    if (parser.state() == RequestParser::State::kFailed) {
      co_await refuse(request, parser.failure());
      co_return false;
    }
    if (!head_seen && parser.state() != RequestParser::State::kHead) {
      head_seen = true;
      deadline = Clock::now() + limits_.body_time;
      if (parser.state() == RequestParser::State::kBody && parser.expects_continue()) {
        const std::string leave = "HTTP/1.1 100 Continue\r\n\r\n";
        if (!co_await transport_->write(leave, limits_.stalled_client)) co_return false;
      }
    }
    if (parser.state() == RequestParser::State::kDone) break;
    const auto left = std::chrono::duration_cast<Duration>(deadline - Clock::now());
    ReadResult read{ReadResult::State::kTimeout, 0};
    if (left.count() > 0) read = co_await transport_->read_some(input, left);
    if (read.state == ReadResult::State::kTimeout && parser.started()) {
      const BadRequest late{408, "the request did not arrive in time"};
      co_await refuse(request, late);
      co_return false;
    }
    if (read.state != ReadResult::State::kBytes) co_return false;
    buffer_.append(input, 0, read.bytes);
  }
  request = parser.take();
  request.peer = peer_;
  request.id = request_id(request.headers.find("x-request-id").value_or(""));
  co_return true;
}

asio::awaitable<void> Connection::refuse(const Request& request, const BadRequest& failure) {
  Request head = request;
  head.keep_alive = false;
  head.id = request_id("");
  Answer answer(*this, head);
  Response response = service_.error(head, failure);
  answer.add_header("x-request-id", head.id);
  co_await answer.respond(std::move(response));
  co_await linger();
}

// Closing with unread bytes in the socket resets the connection, and the client may never see the
// answer. So what still comes is thrown away for a moment.
asio::awaitable<void> Connection::linger() {
  co_await transport_->shutdown_write();
  const Clock::time_point end = Clock::now() + std::chrono::seconds(2);
  std::string trash(16 << 10, '\0');
  while (true) {
    const auto left = std::chrono::duration_cast<Duration>(end - Clock::now());
    if (left.count() <= 0) co_return;
    const ReadResult read = co_await transport_->read_some(trash, left);
    if (read.state != ReadResult::State::kBytes) co_return;
  }
}

}  // namespace sluice::server::http
