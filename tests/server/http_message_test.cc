// Paths, routes and the request parser: pure parts of the HTTP layer.
#include <gtest/gtest.h>

#include "server/http/message.h"
#include "server/http/request_parser.h"
#include "server/http/router.h"

namespace sluice::server::http {
namespace {

using State = RequestParser::State;

// All of `bytes`, in pieces of `size`; what is left behind the request.
size_t feed_all(RequestParser& parser, const std::string& bytes, size_t size) {
  std::string buffer;
  for (size_t at = 0; at < bytes.size(); at += size) {
    buffer += bytes.substr(at, size);
    buffer.erase(0, parser.feed(buffer));
    if (parser.state() == State::kFailed) return 0;
  }
  return buffer.size();
}

TEST(Path, Normalised) {
  EXPECT_EQ(normalise_path("/v1/models?x=1"), "/v1/models");
  EXPECT_EQ(normalise_path("/v1/v1/messages?beta=true"), "/v1/messages");
  EXPECT_EQ(normalise_path("/v1/v1/v1/models"), "/v1/models");
  EXPECT_EQ(normalise_path("//v1//chat/completions//"), "/v1/chat/completions");
  EXPECT_EQ(normalise_path("/"), "/");
  EXPECT_EQ(normalise_path("*"), "/*");
}

TEST(Path, PercentDecoding) {
  EXPECT_EQ(percent_decode("a%2Fb%20c"), "a/b c");
  EXPECT_EQ(percent_decode("a%2"), std::nullopt);
  EXPECT_EQ(percent_decode("%zz"), std::nullopt);
}

TEST(Head, ValuesCannotBreakLines) {
  const std::string head = serialise_head(200, {{"x", "a\r\nset-cookie: b"}}, 11);
  EXPECT_EQ(head, "HTTP/1.1 200 OK\r\nx: a  set-cookie: b\r\n\r\n");
}

TEST(HeaderList, TokensOfLists) {
  const Headers headers{{"Connection", "Keep-Alive, close"}};
  EXPECT_TRUE(headers.has_token("connection", "CLOSE"));
  EXPECT_FALSE(headers.has_token("connection", "clos"));
}

TEST(Routes, ParametersAndMethods) {
  Router router;
  router.add({"GET", "/v1/models"});
  router.add({"GET", "/v1/models/{id...}"});
  router.add({"POST", "/v1/responses"});
  router.add({"DELETE", "/v1/responses/{id}"});
  router.add({"GET", "/v1/responses/{id}"});
  EXPECT_EQ(router.find("GET", "/v1/models").index, 0u);
  const Match model = router.find("HEAD", "/v1/models/org/name%20x");
  ASSERT_NE(model.route, nullptr);
  EXPECT_EQ(model.parameters.at("id"), "org/name x");
  const Match wrong = router.find("PUT", "/v1/responses/r1");
  EXPECT_EQ(wrong.route, nullptr);
  EXPECT_EQ(wrong.allowed, (std::vector<std::string>{"DELETE", "GET", "HEAD"}));
  const Match none = router.find("GET", "/v1/model");
  EXPECT_EQ(none.route, nullptr);
  EXPECT_TRUE(none.allowed.empty());
  EXPECT_EQ(router.find("GET", "/v1/models/a%zz").route, nullptr);
}

TEST(Parser, AnyCutGivesTheSameRequest) {
  const std::string plain =
      "POST /v1/chat/completions?x HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nX-Request-Id: "
      "q-1\r\n\r\nhello world";
  const std::string chunked =
      "POST /v1/chat/completions?x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\nX-Request-Id: q-1\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n";
  for (const std::string& bytes : {plain, chunked}) {
    for (size_t size = 1; size <= bytes.size() + 3; ++size) {
      RequestParser parser({});
      // Three bytes of the next request follow and must be left alone.
      EXPECT_EQ(feed_all(parser, bytes + "GET", size), 3u) << size;
      ASSERT_EQ(parser.state(), State::kDone) << size << ": " << parser.failure().message;
      const Request request = parser.take();
      EXPECT_EQ(request.method, "POST");
      EXPECT_EQ(request.path, "/v1/chat/completions");
      EXPECT_EQ(request.body, "hello world");
      EXPECT_EQ(request.headers.find("x-request-id"), "q-1");
      EXPECT_TRUE(request.keep_alive);
    }
  }
}

TEST(Parser, RefusesByStatus) {
  Limits limits;
  limits.header_bytes = 512;
  limits.target_bytes = 64;
  limits.body_bytes = 16;
  const std::vector<std::pair<std::string, int>> cases = {
      {"nonsense\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400},
      {"GET /" + std::string(100, 'a') + " HTTP/1.1\r\n\r\n", 414},
      {"GET / HTTP/1.1\r\nX: " + std::string(1000, 'a') + "\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\nX: " + std::string(1000, 'a'), 431},
      {"POST / HTTP/1.1\r\nContent-Length: 17\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n01234567890123456\r\n", 413},
      {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\na", 415},
      {"POST / HTTP/1.1\r\nExpect: tea\r\nContent-Length: 1\r\n\r\na", 417},
      {"GET http://elsewhere/ HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\n\r\n", 505},
  };
  for (const auto& [bytes, status] : cases) {
    for (const size_t size : {bytes.size(), size_t{1}}) {
      RequestParser parser(limits);
      feed_all(parser, bytes, size);
      EXPECT_EQ(parser.state(), State::kFailed) << bytes;
      EXPECT_EQ(parser.failure().status, status) << bytes << parser.failure().message;
    }
  }
}

TEST(Parser, Continue) {
  RequestParser parser({});
  parser.feed("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
  EXPECT_EQ(parser.state(), State::kBody);
  EXPECT_TRUE(parser.expects_continue());
}

}  // namespace
}  // namespace sluice::server::http
