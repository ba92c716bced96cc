#include "server/http/json_response.h"

namespace sluice::server::http {

Response json_response(const Json& body, int status) {
  Response response;
  response.status = status;
  response.headers.set("content-type", "application/json");
  response.body = body.dump();
  return response;
}

}  // namespace sluice::server::http
