// The list of models, in a body that OpenAI's and Anthropic's SDKs both take (serving-openai.md
// 4.7).
#include <ctime>

#include "server/api.h"
#include "server/http/json_response.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;

std::string rfc3339(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

Json model_json(const std::string& name, const ModelText& model, int64_t created) {
  Json entry = Json::object();
  entry.set("id", name);
  entry.set("object", "model");
  entry.set("type", "model");
  entry.set("display_name", name);
  entry.set("created", created);
  entry.set("created_at", rfc3339(created));
  entry.set("lifecycle", "active");
  entry.set("owned_by", "sluice");
  entry.set("root", model.names.front());
  entry.set("parent", Json());
  entry.set("max_model_len", model.context);
  entry.set("permission", Json::array());
  Json architecture = Json::object();
  architecture.set("input_modalities", Json::Array{Json("text")});
  entry.set("architecture", std::move(architecture));
  Json meta = Json::object();
  meta.set("n_ctx_train", model.trained_context);
  meta.set("n_vocab", model.vocabulary);
  meta.set("n_params", model.parameters);
  meta.set("size", model.bytes);
  entry.set("meta", std::move(meta));
  return entry;
}

}  // namespace

void Api::add_model_routes() {
  const auto list = [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    Json::Array entries;
    for (const std::string& name : model_.names)
      entries.push_back(model_json(name, model_, started_));
    Json body = Json::object();
    body.set("object", "list");
    body.set("first_id", model_.names.front());
    body.set("last_id", model_.names.back());
    body.set("has_more", false);
    body.set("data", std::move(entries));
    http::Response response = http::json_response(body);
    co_await exchange.respond(std::move(response));
  };
  const auto one = [this](http::Exchange& exchange, RequestRecord&) -> asio::awaitable<void> {
    const std::string& name = exchange.parameters.at("id");
    const auto error = unknown_model(name, false);
    http::Response response = error ? shape_of(exchange.request())(*error, exchange.request().id)
                                    : http::json_response(model_json(name, model_, started_));
    co_await exchange.respond(std::move(response));
  };
  for (const char* prefix : {"/v1", ""}) {
    get(std::string(prefix) + "/models", list);
    get(std::string(prefix) + "/models/{id...}", one);
  }
}

}  // namespace sluice::server
