// The whole server without sockets, over a real engine with a real prefix cache, whose model says
// what it is told to: conversations that were recorded with another model can be replayed as this
// one's own.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/golden_model.h"
#include "server/api.h"

namespace sluice::test {

struct Post {
  std::string path;
  Json body;
};

struct Reply {
  int status = 0;
  std::string body;  // of a stream: all of it
};

// What the engine did for one request.
struct EngineAccount {
  std::vector<int32_t> prompt;
  int64_t cached = 0, cached_from_disk = 0;  // taken over when it began
  int64_t read = 0;                          // tokens of the prompt that went through the model
  int64_t answered = 0;                      // tokens of the answer
};

// One client: a request after the other, each built from the replies to those before.
class Client {
 public:
  virtual ~Client() = default;
  virtual std::optional<Post> next() = 0;  // nothing: it is done
  virtual void take(const Reply& reply) = 0;
};

struct PlayedSetup {
  runtime::EngineShape shape;  // without a prefix cache the server is a cold one
  bool reuse_answers = true;
};

class PlayedServer {
 public:
  // Both must outlive it.
  PlayedServer(const GoldenModel& model, const server::ModelText& text, PlayedSetup setup);
  // Waits until what is worth keeping is on disk, as a drain does.
  ~PlayedServer();

  // The next request with this `seed` is answered with these tokens: they are drawn, under a
  // grammar that has nothing else. Other requests are answered freely.
  void play(uint64_t seed, std::vector<int32_t> answer);

  // Serves all clients, at once, to their end. What a client throws is thrown on.
  void run(std::span<Client* const> clients);
  Reply ask(const Post& post);

  EngineAccount account(uint64_t seed) const;  // of the last request with this seed

 private:
  class Exchange;
  class PlayedEngine;
  boost::asio::awaitable<void> converse(Client* client);

  server::ServerOptions options_;
  server::ModelText text_;
  boost::asio::thread_pool workers_{2}, compilers_{1};
  PlayedEngine* engine_ = nullptr;  // the host's
  std::unique_ptr<server::EngineHost> host_;
  std::unique_ptr<server::Api> api_;
  boost::asio::io_context context_{1};
};

}  // namespace sluice::test
