#include "server/played_server.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <exception>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace sluice::test {
namespace {

namespace asio = boost::asio;
using runtime::TokenId;

// Allows one sequence of tokens and nothing else.
class OneAnswer final : public runtime::TokenGrammar {
 public:
  explicit OneAnswer(std::vector<TokenId> tokens)
      : tokens_(std::make_shared<const std::vector<TokenId>>(std::move(tokens))) {}
  std::unique_ptr<runtime::TokenMask> begin() const override {
    return std::make_unique<Mask>(tokens_);
  }

 private:
  class Mask final : public runtime::TokenMask {
   public:
    explicit Mask(std::shared_ptr<const std::vector<TokenId>> tokens)
        : tokens_(std::move(tokens)) {}
    bool binds() const override { return true; }
    void fill(std::span<uint64_t> allowed) override {
      std::fill(allowed.begin(), allowed.end(), 0);
      if (complete()) return;
      const auto id = static_cast<size_t>((*tokens_)[position_]);
      allowed[id / 64] = uint64_t{1} << (id % 64);
    }
    bool accept(TokenId token) override {
      if (complete() || token != (*tokens_)[position_]) return false;
      ++position_;
      return true;
    }
    bool complete() const override { return position_ == tokens_->size(); }
    size_t position() const override { return position_; }
    void rollback(size_t position) override { position_ = position; }

   private:
    const std::shared_ptr<const std::vector<TokenId>> tokens_;
    size_t position_ = 0;
  };
  const std::shared_ptr<const std::vector<TokenId>> tokens_;
};

}  // namespace

class PlayedServer::PlayedEngine final : public server::StepEngine {
 public:
  explicit PlayedEngine(std::unique_ptr<server::StepEngine> engine) : engine_(std::move(engine)) {}

  Result<runtime::RequestId> submit(runtime::Request request,
                                    const server::ConversationFacts& facts,
                                    server::JobListener& listener) override {
    const uint64_t seed = request.sampling.seed;
    auto watcher = std::make_unique<Watcher>(*this, seed, listener);
    server::JobListener& told = *watcher;
    {
      const std::lock_guard lock(mutex_);
      if (const auto played = answers_.find(seed); played != answers_.end()) {
        request.grammar = std::make_shared<OneAnswer>(std::move(played->second));
        answers_.erase(played);
      }
      accounts_[seed] = {};
      accounts_[seed].prompt = request.prompt;
      watchers_[seed] = std::move(watcher);
    }
    return engine_->submit(std::move(request), facts, told);
  }
  void cancel(runtime::RequestId id) override { engine_->cancel(id); }
  bool step() override { return engine_->step(); }
  bool save_some() override { return engine_->save_some(); }
  std::optional<runtime::CacheUse> cache_use() const override { return engine_->cache_use(); }

  void play(uint64_t seed, std::vector<TokenId> answer) {
    const std::lock_guard lock(mutex_);
    answers_[seed] = std::move(answer);
  }
  EngineAccount account(uint64_t seed) const {
    const std::lock_guard lock(mutex_);
    return accounts_.at(seed);
  }

 private:
  // Counts what passes by on its way to the server.
  class Watcher final : public server::JobListener {
   public:
    Watcher(PlayedEngine& engine, uint64_t seed, server::JobListener& listener)
        : engine_(engine), seed_(seed), listener_(listener) {}
    void on_start(int64_t cached) override {
      done_ = cached;
      note([&](EngineAccount& account) { account.cached = cached; });
      listener_.on_start(cached);
    }
    void on_prompt(int64_t done, int64_t total) override {
      note([&](EngineAccount& account) { account.read += done - done_; });
      done_ = done;
      listener_.on_prompt(done, total);
    }
    void on_prompt_token(const runtime::SampledToken& token) override {
      listener_.on_prompt_token(token);
    }
    void on_token(const runtime::TokenEvent& event) override {
      note([&](EngineAccount& account) { ++account.answered; });
      listener_.on_token(event);
    }
    void on_drafts(int64_t tokens, std::span<const TokenId> proposed) override {
      listener_.on_drafts(tokens, proposed);
    }
    void on_finish(const runtime::RequestReport& report) override {
      note([&](EngineAccount& account) { account.cached_from_disk = report.cached_disk_tokens; });
      listener_.on_finish(report);
    }
    void on_failure(server::ApiError::Kind kind, const std::string& why) override {
      listener_.on_failure(kind, why);
    }

   private:
    template <typename Change>
    void note(const Change& change) {
      const std::lock_guard lock(engine_.mutex_);
      change(engine_.accounts_[seed_]);
    }
    PlayedEngine& engine_;
    const uint64_t seed_;
    server::JobListener& listener_;
    int64_t done_ = 0;
  };

  const std::unique_ptr<server::StepEngine> engine_;
  mutable std::mutex mutex_;
  std::map<uint64_t, std::vector<TokenId>> answers_;
  std::map<uint64_t, EngineAccount> accounts_;
  std::map<uint64_t, std::unique_ptr<Watcher>> watchers_;  // a seed's last one
};

// A request that came, and an answer that went, nowhere.
class PlayedServer::Exchange final : public server::http::Exchange {
 public:
  Exchange(server::http::Request request, asio::any_io_executor executor)
      : request_(std::move(request)), executor_(std::move(executor)) {}

  const server::http::Request& request() const override { return request_; }
  asio::any_io_executor executor() const override { return executor_; }
  asio::awaitable<bool> respond(server::http::Response response) override {
    reply_ = {response.status, std::move(response.body)};
    co_return true;
  }
  asio::awaitable<bool> begin_stream(int status, server::http::Headers) override {
    reply_.status = status;
    co_return true;
  }
  asio::awaitable<bool> send(std::string text) override {
    reply_.body += text;
    co_return true;
  }
  asio::awaitable<bool> end_stream() override { co_return true; }
  void on_disconnect(std::function<void()>) override {}
  void add_header(std::string, std::string) override {}
  int status() const override { return reply_.status; }
  size_t bytes_sent() const override { return reply_.body.size(); }

  const Reply& reply() const { return reply_; }

 private:
  const server::http::Request request_;
  const asio::any_io_executor executor_;
  Reply reply_;
};

PlayedServer::PlayedServer(const GoldenModel& model, const server::ModelText& text,
                           PlayedSetup setup)
    : text_(text) {
  text_.context = setup.shape.context;
  options_.quiet = true;
  options_.ping_interval = std::chrono::hours(1);  // what is sent must not depend on the clock
  options_.sequences = setup.shape.sequences;
  options_.prefix_cache = setup.shape.prefix_cache > 0;
  options_.disk = setup.shape.disk;
  options_.reuse_answers = setup.reuse_answers;
  auto engine =
      std::make_unique<PlayedEngine>(server::make_model_engine(model.engine(setup.shape)));
  engine_ = engine.get();
  host_ = std::make_unique<server::EngineHost>(std::move(engine), options_.queue_limits());
  api_ = std::make_unique<server::Api>(text_, options_, *host_, workers_, compilers_);
}

PlayedServer::~PlayedServer() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (options_.disk.on() && !host_->settled() && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  workers_.join();
  compilers_.join();
  host_->stop();
}

void PlayedServer::play(uint64_t seed, std::vector<int32_t> answer) {
  engine_->play(seed, std::move(answer));
}

EngineAccount PlayedServer::account(uint64_t seed) const { return engine_->account(seed); }

asio::awaitable<void> PlayedServer::converse(Client* client) {
  while (std::optional<Post> post = client->next()) {
    server::http::Request request;
    request.method = "POST";
    request.target = post->path;
    request.path = server::http::normalise_path(post->path);
    request.body = post->body.dump();
    request.id = server::http::request_id("");
    Exchange exchange(std::move(request), context_.get_executor());
    co_await api_->serve(exchange);
    client->take(exchange.reply());
  }
}

void PlayedServer::run(std::span<Client* const> clients) {
  context_.restart();
  // Answers come from other threads.
  auto guard = asio::make_work_guard(context_);
  size_t left = clients.size();
  std::exception_ptr failure;
  for (Client* client : clients) {
    asio::co_spawn(context_, converse(client), [&](std::exception_ptr thrown) {
      if (thrown && !failure) failure = thrown;
      if (--left == 0) guard.reset();
    });
  }
  if (left == 0) guard.reset();
  context_.run();
  if (failure) std::rethrow_exception(failure);
}

Reply PlayedServer::ask(const Post& post) {
  class Once final : public Client {
   public:
    explicit Once(const Post& asked) : post_(asked) {}
    std::optional<Post> next() override { return std::exchange(post_, std::nullopt); }
    void take(const Reply& reply) override { reply_ = reply; }
    Reply reply_;

   private:
    std::optional<Post> post_;
  } client(post);
  Client* only = &client;
  run({&only, 1});
  return client.reply_;
}

}  // namespace sluice::test
