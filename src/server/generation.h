// Runs one generation: prompt on a worker, tokens on the engine's thread, bytes on the
// connection's.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "chat/turn_files.h"
#include "server/core/encoder.h"
#include "server/core/engine_host.h"
#include "server/core/output_grammar.h"
#include "server/http/exchange.h"
#include "server/metrics.h"
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
            boost::asio::thread_pool& workers, boost::asio::thread_pool& compilers,
            Metrics& metrics);

  boost::asio::awaitable<void> run(http::Exchange& exchange, Job job, RequestRecord& record);

  // Prompts only, on a worker: count_tokens, tokenize, apply-template. `replay` is borrowed, not
  // taken: GCC 12 destroys temporary arguments of an awaited call twice.
  boost::asio::awaitable<Answerable<std::vector<PreparedPrompt>>> prepare(
      const GenerationRequest& request, const Replay* replay = nullptr);

  // Ends what runs with an error in the protocol's words: all, or those that go by this id.
  size_t abort_all(const ApiError& why);
  size_t abort(const std::string& id, const ApiError& why);
  size_t active() const { return active_.size(); }

 private:
  class Run;
  // What the answer is kept to, compiled apart from the workers: a large schema must not hold up
  // other requests' prompts. Nothing if the answer is free.
  using Compiled = std::optional<chat::grammar::CompiledOutput>;
  boost::asio::awaitable<Answerable<Compiled>> compile(const GenerationRequest& request);
  void name_once(const std::string& field);

  const ModelText& model_;
  const ServerOptions& options_;
  EngineHost& host_;
  boost::asio::thread_pool &workers_, &compilers_;
  Metrics& metrics_;
  OutputGrammars grammars_;
  std::optional<chat::TurnFiles> turn_files_;  // with a disk tier
  chat::TurnMemory turns_;
  std::set<Run*> active_;
  std::set<std::string> named_fields_;
};

}  // namespace sluice::server
