// Routes that hold the engine or end what runs (serving.md, "Minimum API surface"): for who has a
// key, or without keys for this machine only.
#include "server/api.h"
#include "server/http/json_response.h"
#include "server/openai/errors.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

bool local_peer(const std::string& peer) {
  return peer == "local" || peer.starts_with("127.") || peer.starts_with("[::1]") ||
         peer.starts_with("[::ffff:127.");
}

// A page of another origin can send a POST to this machine without being asked. What it asks
// shows in the header that browsers add.
bool foreign_page(const http::Headers& headers) {
  const auto origin = headers.find("origin");
  if (!origin) return false;
  const auto host = headers.find("host");
  const size_t scheme = origin->find("://");
  return !host || scheme == std::string_view::npos || origin->substr(scheme + 3) != *host;
}

http::Response status_response(const char* name, Json value) {
  Json body = Json::object();
  body.set(name, std::move(value));
  return http::json_response(body);
}

// Whose answers are to end: all of them, or those of these requests.
struct AbortRequest {
  bool all = false;
  std::vector<std::string> ids;
};

Result<AbortRequest> read_abort(const Json& body) {
  Fields fields(body);
  AbortRequest request;
  request.all = fields.boolean("abort_all").value_or(false);
  request.ids = fields.strings("request_ids", 1024);
  if (const auto id = fields.string("rid")) request.ids.push_back(*id);
  if (!request.all && request.ids.empty())
    fields.complain("request_ids", "names no request, and abort_all is not true");
  SLUICE_TRY(fields.status());
  return request;
}

}  // namespace

std::optional<ApiError> Api::refused_control(const http::Request& request) const {
  if (!keys_.open() && !foreign_page(request.headers)) return std::nullopt;
  if (keys_.open() && local_peer(request.peer) && !foreign_page(request.headers))
    return std::nullopt;
  ApiError error;
  error.kind = ApiError::Kind::kPermission;
  error.message = "this route is for clients with a key, or on the server's own machine";
  return error;
}

void Api::control(const std::string& pattern, std::function<http::Response()> action) {
  router_.add({"POST", pattern});
  handlers_.push_back([this, action = std::move(action)](http::Exchange& exchange,
                                                         RequestRecord&) -> asio::awaitable<void> {
    const auto refused = refused_control(exchange.request());
    http::Response response = refused ? openai::error_response(*refused) : action();
    co_await exchange.respond(std::move(response));
  });
}

void Api::add_control_routes() {
  control("/pause", [this] {
    host_.pause();
    return status_response("status", "paused");
  });
  control("/resume", [this] {
    host_.resume();
    return status_response("status", "resumed");
  });
  get("/is_paused", [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    http::Response response = status_response("is_paused", host_.paused());
    co_await exchange.respond(std::move(response));
  });
  const auto abort = [this](http::Exchange& exchange, const Json& body,
                            RequestRecord&) -> asio::awaitable<void> {
    http::Response response;
    const auto refused = refused_control(exchange.request());
    const Result<AbortRequest> request = read_abort(body);
    if (refused) {
      response = openai::error_response(*refused);
    } else if (!request.ok()) {
      response = openai::error_response(invalid_request(request.error()));
    } else {
      ApiError why;
      why.kind = ApiError::Kind::kUnavailable;
      why.message = "the request was ended by the server's operator";
      size_t ended = request->all ? generator_.abort_all(why) : 0;
      for (const std::string& id : request->ids) ended += generator_.abort(id, why);
      response = status_response("aborted", static_cast<int64_t>(ended));
    }
    co_await exchange.respond(std::move(response));
  };
  post("/abort_requests", openai::error_response, abort);
}

}  // namespace sluice::server
