// Runs one generation: prompt on a worker, tokens on the engine's thread, bytes on the
// connection's.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "server/core/encoder.h"
#include "server/core/engine_host.h"
#include "server/http/exchange.h"
#include "server/options.h"
#include "server/request_record.h"

namespace sluice::server {

using ErrorShape = http::Response (*)(const ApiError& error, const std::string& request_id);
using EncoderFactory = std::function<std::unique_ptr<AnswerEncoder>(AnswerStart start)>;

// One request on its way, as a protocol hands it over.
struct Job {
  GenerationRequest request;
  EncoderFactory make_encoder;
  ErrorShape error_shape = nullptr;
};

class Generator {
 public:
  // All must outlive the generator.
  Generator(const ModelText& model, const ServerOptions& options, EngineHost& host,
            boost::asio::thread_pool& workers);

  boost::asio::awaitable<void> run(http::Exchange& exchange, Job job, RequestRecord& record);

  // Prompts only, on a worker: count_tokens, tokenize, apply-template.
  boost::asio::awaitable<Answerable<std::vector<PreparedPrompt>>> prepare(
      const GenerationRequest& request, Replay replay = {});

  void abort_all(const ApiError& why);  // ends what runs with an error in the protocol's words
  size_t active() const { return active_.size(); }

 private:
  class Run;
  void name_once(const std::string& field);

  const ModelText& model_;
  const ServerOptions& options_;
  EngineHost& host_;
  boost::asio::thread_pool& workers_;
  chat::TurnMemory turns_;
  std::set<Run*> active_;
  std::set<std::string> named_fields_;
};

}  // namespace sluice::server
