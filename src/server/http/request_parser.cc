#include "server/http/request_parser.h"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace sluice::server::http {

namespace beast = boost::beast;

struct RequestParser::Beast {
  beast::http::request_parser<beast::http::string_body> parser;
  std::string pending;  // the head so far: Beast wants it contiguous
};

RequestParser::RequestParser(const Limits& limits)
    : limits_(limits), beast_(std::make_unique<Beast>()) {
  beast_->parser.header_limit(static_cast<uint32_t>(limits.header_bytes));
  beast_->parser.body_limit(limits.body_bytes);
  beast_->parser.eager(false);
}

RequestParser::~RequestParser() = default;

void RequestParser::fail(int status, std::string message) {
  state_ = State::kFailed;
  failure_ = {status, std::move(message)};
}

size_t RequestParser::feed(std::string_view bytes) {
  size_t taken = 0;
  started_ = started_ || !bytes.empty();
  while (state_ == State::kHead || state_ == State::kBody) {
    auto& parser = beast_->parser;
    std::string& pending = beast_->pending;
    // Beast consumes nothing of an incomplete head or chunk header, so such bytes wait here.
    const size_t kept = pending.size();
    pending.append(bytes.substr(taken));
    boost::system::error_code error;
    const size_t used = parser.put(boost::asio::buffer(pending), error);
    if (error == beast::http::error::need_more) {
      error = {};
      taken = bytes.size();
      pending.erase(0, used);
      if (state_ == State::kHead && !parser.is_header_done()) {
        if (pending.size() > limits_.header_bytes)
          fail(431, fmt::format("the head of the request is over {} bytes", limits_.header_bytes));
        return taken;
      }
      if (state_ == State::kBody) {
        if (pending.size() > limits_.header_bytes) fail(400, "a chunk header is too long");
        return taken;
      }
    } else if (error) {
      if (error == beast::http::error::body_limit) {
        fail(413, fmt::format("the body is over {} bytes", limits_.body_bytes));
      } else if (error == beast::http::error::header_limit) {
        fail(431, fmt::format("the head of the request is over {} bytes", limits_.header_bytes));
      } else if (error == beast::http::error::bad_version) {
        fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken");
      } else {
        fail(400, fmt::format("not a well-formed HTTP request: {}", error.message()));
      }
      return bytes.size();
    } else {
      // Of what was offered, `kept` bytes had come earlier.
      taken += used - std::min(used, kept);
      pending.resize(kept);
      pending.erase(0, used);
    }
    if (state_ == State::kHead && parser.is_header_done()) {
      state_ = State::kBody;
      check_head();
      if (state_ == State::kFailed) return taken;
    }
    if (parser.is_done()) {
      state_ = State::kDone;
      return taken;
    }
    if (taken >= bytes.size() && pending.empty()) return taken;
  }
  return taken;
}

void RequestParser::check_head() {
  const auto& message = beast_->parser.get();
  if (message.target().size() > limits_.target_bytes)
    return fail(414, fmt::format("the target is over {} bytes", limits_.target_bytes));
  if (message.target().empty() || (message.target().front() != '/' && message.target() != "*"))
    return fail(400, "the target is not a path");
  if (message.version() != 10 && message.version() != 11)
    return fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken");
  const auto encoding = message.find(beast::http::field::content_encoding);
  if (encoding != message.end() && !equal_ignoring_case(encoding->value(), "identity"))
    return fail(415, "bodies with a content encoding are not taken");
  const auto expect = message.find(beast::http::field::expect);
  if (expect != message.end() && !equal_ignoring_case(expect->value(), "100-continue"))
    return fail(417, "the only expectation that can be met is 100-continue");
  // Both at once is how requests are smuggled past a proxy that believes the other one.
  if (message.count(beast::http::field::content_length) > 0 &&
      message.count(beast::http::field::transfer_encoding) > 0)
    return fail(400, "content-length and transfer-encoding exclude each other");
}

bool RequestParser::expects_continue() const {
  const auto& message = beast_->parser.get();
  return message.version() == 11 && message.count(beast::http::field::expect) > 0;
}

Request RequestParser::take() {
  Request request;
  auto message = beast_->parser.release();
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.path = normalise_path(request.target);
  for (const auto& field : message)
    request.headers.add(std::string(field.name_string()), std::string(field.value()));
  request.version = static_cast<int>(message.version());
  request.keep_alive = message.keep_alive();
  request.body = std::move(message.body());
  return request;
}

}  // namespace sluice::server::http
