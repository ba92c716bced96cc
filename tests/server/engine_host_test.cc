#include "server/core/engine_host.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

#include "base/check.h"

namespace sluice::server {
namespace {

// An engine that does what the test says.
class FakeEngine final : public StepEngine {
 public:
  Result<runtime::RequestId> submit(runtime::Request request, const ConversationFacts&,
                                    JobListener& listener) override {
    if (request.prompt.empty()) return usage_error("prompt", "is empty");
    const std::lock_guard lock(mutex_);
    waiting_.push_back(&listener);
    return ++last_;
  }
  void cancel(runtime::RequestId id) override { cancelled = id; }
  bool step() override {
    SLUICE_CHECK(!broken, "{}", "broken");
    const std::lock_guard lock(mutex_);
    if (hold || waiting_.empty()) return false;
    waiting_.front()->on_token({});
    if (endless) return true;
    waiting_.front()->on_finish({});
    waiting_.erase(waiting_.begin());
    return true;
  }
  std::atomic<bool> hold{false}, endless{false}, broken{false};
  std::atomic<runtime::RequestId> cancelled{0};

 private:
  std::mutex mutex_;
  std::vector<JobListener*> waiting_;
  runtime::RequestId last_ = 0;
};

struct Waiter final : JobListener {
  void on_token(const runtime::TokenEvent&) override {}
  void on_finish(const runtime::RequestReport&) override { end.set_value("finished"); }
  void on_failure(ApiError::Kind kind, const std::string& why) override {
    failure = kind;
    end.set_value(why);
  }
  ApiError::Kind failure = ApiError::Kind::kHttp;
  std::promise<std::string> end;
};

runtime::Request request() {
  runtime::Request made;
  made.prompt = {1};
  return made;
}

TEST(EngineHost, RunsAndCounts) {
  EngineHost host(std::make_unique<FakeEngine>(), {.requests = 4});
  const auto waiter = std::make_shared<Waiter>();
  ASSERT_TRUE(host.submit(request(), {}, waiter).ok());
  EXPECT_EQ(waiter->end.get_future().get(), "finished");
  EXPECT_EQ(host.counters().waiting, 0);
  EXPECT_EQ(host.counters().running, 0);
}

TEST(EngineHost, AFullQueueIsToldAndARefusalTakesNoPlace) {
  auto engine = std::make_unique<FakeEngine>();
  engine->hold = true;
  EngineHost host(std::move(engine), {.requests = 2});
  EXPECT_FALSE(host.submit({}, {}, std::make_shared<Waiter>()).ok());
  EXPECT_TRUE(host.submit(request(), {}, std::make_shared<Waiter>()).ok());
  EXPECT_TRUE(host.submit(request(), {}, std::make_shared<Waiter>()).ok());
  auto full = host.submit(request(), {}, std::make_shared<Waiter>());
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().kind, ApiError::Kind::kQueueFull);
  EXPECT_GT(full.error().retry_after, 0);
  EXPECT_EQ(host.counters().waiting, 2);
}

TEST(EngineHost, TokensThatWaitAreBounded) {
  auto engine = std::make_unique<FakeEngine>();
  FakeEngine& fake = *engine;
  fake.hold = true;
  EngineHost host(std::move(engine), {.requests = 10, .tokens = 100});
  const auto submit = [&](size_t tokens) {
    runtime::Request made;
    made.prompt.assign(tokens, 1);
    const auto waiter = std::make_shared<Waiter>();
    auto id = host.submit(made, {}, waiter);
    return std::pair(id.ok() ? "" : id.error().message, waiter);
  };
  EXPECT_NE(submit(0).first, "") << "no request, and takes no place";
  const auto large = submit(150);
  EXPECT_EQ(large.first, "") << "alone it may be larger";
  EXPECT_EQ(submit(1).first, "prompts of 150 tokens are waiting already");
  fake.hold = false;
  host.resume();
  large.second->end.get_future().wait();
  fake.hold = true;
  const auto first = submit(60), second = submit(40);
  EXPECT_EQ(first.first + second.first, "");
  EXPECT_EQ(submit(1).first, "prompts of 100 tokens are waiting already");
  EXPECT_EQ(host.counters().waiting_tokens, 100);
}

TEST(EngineHost, WhoWaitsTooLongIsTold) {
  auto engine = std::make_unique<FakeEngine>();
  FakeEngine& fake = *engine;
  fake.hold = true;
  EngineHost host(std::move(engine),
                  {.requests = 10, .longest_wait = std::chrono::milliseconds(1)});
  const auto waiter = std::make_shared<Waiter>();
  auto id = host.submit(request(), {}, waiter);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(waiter->end.get_future().get(),
            "waited for a place among the running answers for 0.001 s");
  EXPECT_EQ(waiter->failure, ApiError::Kind::kQueueFull);
  while (fake.cancelled == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(fake.cancelled, *id);
  fake.hold = false;  // the engine's own word comes later, and is not passed on
  host.resume();
  while (host.counters().waiting + host.counters().running > 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(host.counters().waiting_tokens, 0);
}

TEST(EngineHost, WhoIsAnsweredTooLongIsToldToo) {
  auto engine = std::make_unique<FakeEngine>();
  FakeEngine& fake = *engine;
  fake.endless = true;
  EngineHost host(std::move(engine), {.requests = 10,
                                      .longest_wait = std::chrono::hours(1),
                                      .longest_request = std::chrono::milliseconds(5)});
  const auto waiter = std::make_shared<Waiter>();
  auto id = host.submit(request(), {}, waiter);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(waiter->end.get_future().get(), "the request was not answered within 0.005 s");
  EXPECT_EQ(waiter->failure, ApiError::Kind::kTimeout);
  while (fake.cancelled == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(fake.cancelled, *id);
  fake.endless = false;
  while (host.counters().running > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(EngineHost, ABrokenEngineFailsItsRequestsAndTakesNoMore) {
  auto engine = std::make_unique<FakeEngine>();
  FakeEngine& fake = *engine;
  fake.hold = true;
  EngineHost host(std::move(engine), {.requests = 2});
  const auto waiter = std::make_shared<Waiter>();
  fake.broken = true;
  auto submitted = host.submit(request(), {}, waiter);
  if (submitted.ok()) {
    EXPECT_EQ(waiter->end.get_future().get(), "the engine stopped");
  }
  while (host.alive()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  auto refused = host.submit(request(), {}, std::make_shared<Waiter>());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ApiError::Kind::kUnavailable);
}

TEST(EngineHost, LeavingFailsWhatIsLeft) {
  const auto waiter = std::make_shared<Waiter>();
  {
    auto engine = std::make_unique<FakeEngine>();
    engine->hold = true;
    EngineHost host(std::move(engine), {.requests = 2});
    ASSERT_TRUE(host.submit(request(), {}, waiter).ok());
  }
  EXPECT_EQ(waiter->end.get_future().get(), "the server is going down");
}

}  // namespace
}  // namespace sluice::server
