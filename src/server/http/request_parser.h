// Bytes of a connection to requests. Beast's parser behind a door of ours: no other file sees it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "server/http/limits.h"
#include "server/http/message.h"

namespace sluice::server::http {

// A request that cannot be read; the connection ends after the answer.
struct BadRequest {
  int status = 400;
  std::string message;
};

class RequestParser {
 public:
  enum class State { kHead, kBody, kDone, kFailed };

  explicit RequestParser(const Limits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Takes bytes in any portions; returns how many belong to this request. Those after its end are
  // the next request's. After kDone and kFailed nothing more is taken.
  size_t feed(std::string_view bytes);

  State state() const { return state_; }
  bool started() const { return started_; }  // a byte of it has come
  const BadRequest& failure() const { return failure_; }
  // From kBody on: the client waits for leave to send its body.
  bool expects_continue() const;
  // Method, target and headers, from kBody on; all of it at kDone. Moves it out.
  Request take();

 private:
  struct Beast;
  void fail(int status, std::string message);
  void check_head();

  const Limits limits_;
  std::unique_ptr<Beast> beast_;
  State state_ = State::kHead;
  BadRequest failure_;
  bool started_ = false;
};

}  // namespace sluice::server::http
