// Bytes of a client through the server: the first byte picks a part, the rest is a request of HTTP
// in pieces, or a body through an adapter and the template. Nothing crashes; every refusal names
// itself; a prompt that comes out has tokens of the model.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "server/anthropic/errors.h"
#include "server/anthropic/messages_request.h"
#include "server/core/prompt.h"
#include "server/core/script.h"
#include "server/http/request_parser.h"
#include "server/http/router.h"
#include "server/model_fixture.h"
#include "server/openai/chat_request.h"
#include "server/openai/completions_request.h"
#include "server/openai/errors.h"
#include "server/openai/responses_request.h"

namespace {

using namespace sluice;
using namespace sluice::server;

// One piece after the other and all at once must give the same request, or none. (Which of several
// faults of a broken one is seen first may differ.)
void parse_http(std::string_view input, size_t piece) {
  http::Limits limits;
  limits.header_bytes = 512;
  limits.body_bytes = 256;
  std::string states[2];
  for (const bool whole : {true, false}) {
    http::RequestParser parser(limits);
    std::string buffer;
    const size_t size = whole ? std::max<size_t>(input.size(), 1) : piece;
    for (size_t at = 0; at < input.size(); at += size) {
      buffer += input.substr(at, size);
      buffer.erase(0, parser.feed(buffer));
      if (parser.state() == http::RequestParser::State::kFailed) break;
    }
    std::string& state = states[whole ? 0 : 1];
    if (parser.state() != http::RequestParser::State::kDone) continue;
    const http::Request request = parser.take();
    http::Router router;
    router.add({"GET", "/v1/models/{id...}"});
    router.find(request.method, request.path);
    state = request.method + request.path + request.body;
  }
  SLUICE_CHECK(states[0] == states[1], "{} {}", states[0], states[1]);
}

void check_prompts(const GenerationRequest& request) {
  const ModelText& model = test::model_text();
  conversation_facts(request);
  auto prompts = prepare_prompts(request, model);
  if (!prompts.ok()) {
    SLUICE_CHECK(prompts.error().http_status() == 400, "{}", prompts.error().message);
    SLUICE_CHECK(!prompts.error().message.empty(), "{}", "a refusal without a word");
    return;
  }
  for (const PreparedPrompt& prompt : *prompts) {
    for (const TokenId id : prompt.ids)
      SLUICE_CHECK(id >= 0 && id < model.vocabulary, "token {}", id);
  }
}

template <typename Request>
void check(const Result<Request>& request) {
  if (request.ok()) return check_prompts(request->neutral);
  const ApiError error = invalid_request(request.error());
  SLUICE_CHECK(error.http_status() == 400, "{}", error.message);
  openai::error_response(error);
  anthropic::error_response(error, "id");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t part = data[0] % 6;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (part == 0) {
    parse_http(input, 1 + data[0] / 6);
    return 0;
  }
  const Result<Json> body = parse_body(input);
  if (!body.ok()) return 0;
  const AdapterContext context{test::model_text().vocabulary, "tiny"};
  if (part == 1) check(openai::read_chat_request(*body, context));
  if (part == 2) check(openai::read_completions_request(*body, context));
  if (part == 3) check(openai::read_responses_request(*body, context, nullptr));
  if (part == 4) check(anthropic::read_messages_request(*body, context));
  if (part == 5) (void)parse_script(*body, *test::model_text().tokenizer, 0);
  return 0;
}
