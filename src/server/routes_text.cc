// Text and tokens without an answer (serving-openai.md 4.8).
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/utf8.h"
#include "server/api.h"
#include "server/http/json_response.h"
#include "server/openai/chat_request.h"
#include "server/openai/errors.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

Json ids_json(const std::vector<TokenId>& ids) {
  Json::Array items;
  for (const TokenId id : ids) items.emplace_back(id);
  return items;
}

std::string piece(const tokenizer::Tokenizer& tokenizer, TokenId id) {
  return replace_invalid_utf8(tokenizer.bytes(id));
}

// What tokenize takes: a text under one of two names, or messages.
struct TokenizeRequest {
  std::optional<GenerationRequest> conversation;
  std::string text;
  bool parse_special = true, with_strings = false, with_pieces = false;
};

Result<TokenizeRequest> read_tokenize(const Json& body, const AdapterContext& context) {
  TokenizeRequest request;
  Fields fields(body);
  request.with_strings = fields.boolean("return_token_strs").value_or(false);
  request.with_pieces = fields.boolean("with_pieces").value_or(false);
  request.parse_special = fields.boolean("parse_special").value_or(true);
  const auto prompt = fields.string("prompt");
  const auto content = fields.string("content");
  SLUICE_TRY(fields.status());
  if (body.find("messages") != nullptr) {
    SLUICE_ASSIGN(openai::ChatRequest chat, openai::read_chat_request(body, context));
    request.conversation = std::move(chat.neutral);
    return request;
  }
  if (!prompt && !content)
    return usage_error("prompt", "none of prompt, content and messages is given");
  request.text = prompt ? *prompt : *content;
  return request;
}

}  // namespace

// The tokens of a body of /tokenize, found on a worker: long texts must not hold up others.
asio::awaitable<Answerable<Json>> Api::tokenize(const Json& body) {
  Result<TokenizeRequest> request = read_tokenize(body, adapter_context());
  if (!request.ok()) co_return invalid_request(request.error());
  Result<std::vector<TokenId>> ids = std::vector<TokenId>();
  if (request->conversation) {
    auto prompts = co_await generator_.prepare(*request->conversation);
    if (!prompts.ok()) co_return prompts.error();
    ids = std::move(prompts->front().ids);
  } else {
    auto work = [&]() -> asio::awaitable<void> {
      ids = model_.tokenizer->encode(request->text, {.recognise_added = request->parse_special});
      co_return;
    };
    co_await asio::co_spawn(workers_, work, asio::use_awaitable);
  }
  if (!ids.ok()) co_return invalid_request(usage_error("prompt", ids.error().message()));
  Json answer = Json::object();
  answer.set("count", static_cast<int64_t>(ids->size()));
  answer.set("max_model_len", model_.context);
  Json::Array strings, pieces;
  for (const TokenId id : *ids) {
    strings.emplace_back(piece(*model_.tokenizer, id));
    Json entry = Json::object();
    entry.set("id", id);
    entry.set("piece", strings.back());
    pieces.push_back(std::move(entry));
  }
  answer.set("tokens", request->with_pieces ? Json(std::move(pieces)) : ids_json(*ids));
  answer.set("token_strs", request->with_strings ? Json(std::move(strings)) : Json());
  co_return answer;
}

void Api::add_text_routes() {
  const auto tokenize_text = [this](http::Exchange& exchange, const Json& body,
                                    RequestRecord&) -> asio::awaitable<void> {
    auto answer = co_await tokenize(body);
    http::Response response =
        answer.ok() ? http::json_response(*answer) : openai::error_response(answer.error());
    co_await exchange.respond(std::move(response));
  };
  const auto detokenize = [this](http::Exchange& exchange, const Json& body,
                                 RequestRecord&) -> asio::awaitable<void> {
    Fields fields(body);
    const std::vector<TokenId> ids = fields.ids("tokens", model_.vocabulary);
    if (fields.any("tokens") == nullptr) fields.complain("tokens", "is missing");
    http::Response response;
    if (const Status status = fields.status(); !status.ok()) {
      response = openai::error_response(invalid_request(status.error()));
    } else {
      const std::string text = model_.tokenizer->decode(ids, false);
      Json answer = Json::object();
      answer.set("prompt", text);
      answer.set("content", text);
      response = http::json_response(answer);
    }
    co_await exchange.respond(std::move(response));
  };
  for (const char* prefix : {"", "/v1"}) {
    post(std::string(prefix) + "/tokenize", openai::error_response, tokenize_text);
    post(std::string(prefix) + "/detokenize", openai::error_response, detokenize);
  }
}

}  // namespace sluice::server
