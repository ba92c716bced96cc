// The surface of the server: its routes, and what holds for all of them (serving.md, "Minimum API
// surface"): keys, CORS, request ids, draining, the shape of errors.
#pragma once

#include <algorithm>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/auth.h"
#include "server/core/common_fields.h"
#include "server/generation.h"
#include "server/http/connection.h"
#include "server/http/router.h"
#include "server/metrics.h"
#include "server/options.h"
#include "server/request_log.h"
#include "server/response_store.h"

namespace sluice::server {

// Pages of 64 tokens that running requests hold, and places in the batch that they have.
struct PageUse {
  int64_t used = 0, total = 0;
  int64_t running = 0, sequences = 1;
  // Of whichever is scarcer. Pages that are only remembered count as free: they are given up as
  // soon as somebody needs them.
  double share() const {
    const double places = static_cast<double>(running) / static_cast<double>(sequences);
    return total > 0 ? std::max(places, static_cast<double>(used) / static_cast<double>(total))
                     : places;
  }
};

class Api final : public http::Service {
 public:
  // All must outlive it.
  Api(const ModelText& model, const ServerOptions& options, EngineHost& host,
      boost::asio::thread_pool& workers, boost::asio::thread_pool& compilers);

  boost::asio::awaitable<void> serve(http::Exchange& exchange) override;
  http::Response error(const http::Request& request, const http::BadRequest& failure) override;

  // From now on new work is refused with a 503; health says so (serving-ops.md 7.3).
  void start_draining() { draining_ = true; }
  void abort_all();
  size_t active() const { return generator_.active(); }
  const std::vector<http::Route>& routes() const { return router_.routes(); }

 private:
  void add_generation_routes();  // routes_generation.cc
  void add_responses_routes();   // routes_responses.cc
  void add_model_routes();       // routes_models.cc
  void add_text_routes();        // routes_text.cc
  void add_render_routes();      // routes_render.cc
  void add_health_routes();      // routes_health.cc
  void add_page_routes();        // routes_page.cc
  void add_engine_routes();      // routes_engine.cc
  void add_control_routes();     // routes_control.cc

  // A POST route with a JSON body: parsed on a worker, handed on as `handler` takes it.
  using Handler = std::function<boost::asio::awaitable<void>(http::Exchange&, RequestRecord&)>;
  using JsonHandler = std::function<boost::asio::awaitable<void>(http::Exchange&, const Json& body,
                                                                 RequestRecord&)>;
  void get(const std::string& pattern, Handler handler, bool free = false);
  void remove(const std::string& pattern, Handler handler);
  void post(const std::string& pattern, ErrorShape shape, JsonHandler handler);
  // A POST route whose body nobody reads, for operators only.
  void control(const std::string& pattern, std::function<http::Response()> action);
  std::optional<ApiError> refused_control(const http::Request& request) const;

  boost::asio::awaitable<void> generate(http::Exchange& exchange, Answerable<Job> job,
                                        ErrorShape shape, RequestRecord& record);
  // A body as a job; errors are the request's.
  Answerable<Job> chat_job(const Json& body);
  Answerable<Job> completions_job(const Json& body);
  Answerable<Job> messages_job(const Json& body);
  Answerable<Job> responses_job(const Json& body);
  enum class PromptView { kRendered, kCount, kResponsesCount };
  boost::asio::awaitable<void> answer_prompt(http::Exchange& exchange, Answerable<Job> job,
                                             ErrorShape shape, PromptView view);
  boost::asio::awaitable<Answerable<Json>> tokenize(const Json& body);

  ErrorShape shape_of(const http::Request& request) const;
  boost::asio::awaitable<void> dispatch(http::Exchange& exchange, RequestRecord& record);
  // Whether the model may be called so; the error if not.
  std::optional<ApiError> unknown_model(const std::string& name, bool anthropic) const;
  AdapterContext adapter_context() const;
  PageUse page_use() const;
  Json engine_json() const;
  Json configuration_json() const;
  Json props_json() const;
  Json tokenizer_json() const;

  const ModelText& model_;
  const ServerOptions& options_;
  EngineHost& host_;
  boost::asio::thread_pool& workers_;
  const KeyRing keys_;
  const CorsPolicy cors_;
  Metrics metrics_;
  RequestLog log_;
  Generator generator_;
  ResponseStore responses_;
  http::Router router_;
  std::vector<Handler> handlers_;  // of the router's routes
  bool draining_ = false;
  const int64_t started_;  // Unix time
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace sluice::server
