#include "server/server.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>

#include "base/log.h"
#include "server/api.h"
#include "server/http/server.h"
#include "server/notify.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// Waits until nothing is answered any more, or for `limit`.
asio::awaitable<void> wait_for_answers(asio::io_context& context, const http::Server& server,
                                       http::Duration limit) {
  asio::steady_timer timer(context);
  const Clock::time_point end = Clock::now() + limit;
  while (server.answering() > 0 && Clock::now() < end) {
    timer.expires_after(std::chrono::milliseconds(20));
    co_await timer.async_wait(kAwait);
  }
}

// Prompts that are in memory only are written while there is time.
asio::awaitable<void> wait_for_disk(asio::io_context& context, const EngineHost& host,
                                    Clock::time_point end) {
  asio::steady_timer timer(context);
  while (!host.settled() && Clock::now() < end) {
    timer.expires_after(std::chrono::milliseconds(20));
    co_await timer.async_wait(kAwait);
  }
  if (!host.settled()) log_warning("some prompts were not written to the disk cache in time");
}

// serving-ops.md 7.3: refuse new work but go on listening, finish what runs, then say goodbye.
asio::awaitable<void> drain(asio::io_context& context, http::Server& server, Api& api,
                            const EngineHost& host, const ServerOptions& options) {
  log_info("draining: {} requests are running", api.active());
  api.start_draining();
  notify_manager("STOPPING=1");
  asio::steady_timer timer(context);
  const Clock::time_point begin = Clock::now(), grace_end = begin + options.drain_grace;
  // Probes and balancers have to see the 503 for a while, even if nothing runs.
  timer.expires_at(grace_end);
  co_await timer.async_wait(kAwait);
  server.close_listener();
  server.finish_connections();
  const auto left = std::max(http::Duration(0), options.shutdown_timeout - options.drain_grace);
  co_await wait_for_answers(context, server, left);
  api.abort_all();
  co_await wait_for_answers(context, server, std::chrono::milliseconds(2000));
  if (options.disk.on()) {
    constexpr auto kAtLeast = std::chrono::seconds(5);
    co_await wait_for_disk(context, host,
                           std::max(begin + options.shutdown_timeout, Clock::now() + kAtLeast));
  }
  context.stop();
}

// From here on the process ends, which takes a while with a large model: who asks once more must
// not turn an orderly end into one by the signal. The library gives SIGTERM its deadly meaning back
// with the last set that waits for it; so one that nobody looks at is left behind, also at exit.
// (Setting the signal to be ignored after the last set has gone would leave a moment between.)
void ignore_termination() {
  static auto* const context = new asio::io_context(1);
  static auto* const kept = new asio::signal_set(*context, SIGTERM);
  static_cast<void>(kept);
}

}  // namespace

Status run_server(const ServerOptions& options, const ModelText& model,
                  std::unique_ptr<StepEngine> engine,
                  const std::function<void(const std::string& address)>& ready) {
  http::ListenOptions listen;
  listen.host = options.host;
  listen.port = options.port;
  listen.unix_path = options.unix_path;
  listen.limits = options.limits;
  if (!options.tls_certificate.empty()) {
    SLUICE_ASSIGN(listen.tls, http::TlsContext::load(options.tls_certificate, options.tls_key));
  }
  // Members are destroyed from the last: first the connections, then those they speak to. The
  // context is stopped by then, and the workers have finished.
  asio::thread_pool workers(2), compilers(1);
  EngineHost host(std::move(engine), options.queue_limits());
  Api api(model, options, host, workers, compilers);
  asio::io_context context(1);
  SLUICE_ASSIGN(const auto server, http::Server::listen(context, listen, api));

  asio::signal_set signals(context, SIGTERM, SIGINT);
  bool draining = false;
  std::function<void(const boost::system::error_code&, int)> on_signal =
      [&](const boost::system::error_code& error, int) {
        if (error) return;
        if (std::exchange(draining, true)) return context.stop();
        asio::co_spawn(context, drain(context, *server, api, host, options), asio::detached);
        signals.async_wait(on_signal);
      };
  signals.async_wait(on_signal);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on the length of files is an error of the write
  if (server->beyond_loopback() && options.keys.empty()) {
    log_warning(
        "{} can be reached from other machines, and no API key is asked for: anyone there can use "
        "it. Set --api-key or --api-key-file",
        server->address());
  }
  ready(server->address());
  notify_manager("READY=1");
  context.run();
  workers.join();
  compilers.join();
  // What the engine still holds of connections must go before the context does.
  host.stop();
  ignore_termination();
  return {};
}

}  // namespace sluice::server
