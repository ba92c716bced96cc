#include "server/core/engine_host.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace sluice::server {

namespace {

// For what the engine still says of a request that its client knows to have failed.
class Deaf final : public JobListener {
 public:
  void on_token(const runtime::TokenEvent&) override {}
  void on_finish(const runtime::RequestReport&) override {}
  void on_failure(ApiError::Kind, const std::string&) override {}
};

}  // namespace

// Stands between the engine and a request's listener: counts, and keeps the listener alive.
class EngineHost::Tracker final : public JobListener {
 public:
  Tracker(EngineHost& host, uint64_t key, int64_t prompt, std::shared_ptr<JobListener> listener)
      : host_(host), key_(key), prompt_(prompt), listener_(std::move(listener)) {}

  void on_start(int64_t cached) override {
    begin();
    read_ = cached;
    listener_->on_start(cached);
  }
  void on_prompt(int64_t done, int64_t total) override {
    begin();
    const int64_t read = std::max<int64_t>(done - read_.exchange(done), 0);
    host_.counters_.prompt_tokens += static_cast<uint64_t>(read);
    host_.step_tokens_ += read;
    listener_->on_prompt(done, total);
  }
  void on_prompt_token(const runtime::SampledToken& token) override {
    listener_->on_prompt_token(token);
  }
  void on_token(const runtime::TokenEvent& event) override {
    begin();
    ++output_;
    ++host_.counters_.generated_tokens;
    ++host_.step_tokens_;
    listener_->on_token(event);
  }
  void on_finish(const runtime::RequestReport& report) override {
    EngineCounters& counters = host_.counters_;
    counters.finished_prompt_tokens += static_cast<uint64_t>(report.prompt_tokens);
    counters.cached_tokens += static_cast<uint64_t>(report.cached_tokens);
    for (const int64_t count : report.draft.proposed)
      counters.drafted += static_cast<uint64_t>(count);
    for (const int64_t count : report.draft.accepted)
      counters.accepted += static_cast<uint64_t>(count);
    end();
    listener_->on_finish(report);
  }
  void on_failure(ApiError::Kind kind, const std::string& why) override {
    end();
    listener_->on_failure(kind, why);
  }

  void set_id(runtime::RequestId id) { id_ = id; }
  runtime::RequestId id() const { return id_; }  // 0: not known yet
  // When its time is over; nothing if it never is, or has been said to be.
  std::optional<Clock::time_point> end_of_time(const QueueLimits& limits) const {
    if (over_ || expired_) return std::nullopt;
    std::optional<Clock::time_point> end;
    if (limits.longest_request) end = came_ + *limits.longest_request;
    if (!started_ && limits.longest_wait)
      end = std::min(end.value_or(Clock::time_point::max()), came_ + *limits.longest_wait);
    return end;
  }
  // The client is told at once; the engine gives the request up at its next step.
  void expire(const QueueLimits& limits) {
    expired_ = true;
    const auto told = std::exchange(listener_, std::make_shared<Deaf>());
    const auto seconds = [](std::chrono::milliseconds time) { return time.count() / 1000.0; };
    if (limits.longest_request && Clock::now() - came_ >= *limits.longest_request) {
      told->on_failure(ApiError::Kind::kTimeout,
                       fmt::format("the request was not answered within {} s",
                                   seconds(*limits.longest_request)));
    } else {
      told->on_failure(ApiError::Kind::kQueueFull,
                       fmt::format("waited for a place among the running answers for {} s",
                                   seconds(*limits.longest_wait)));
    }
  }

  bool over() const { return over_; }
  RequestState state() const {
    const std::chrono::duration<double> age = Clock::now() - came_;
    return {key_, started_, prompt_, read_, output_, age.count()};
  }

 private:
  void begin() {
    if (started_) return;
    started_ = true;
    --host_.counters_.waiting;
    host_.counters_.waiting_tokens -= prompt_;
    ++host_.counters_.running;
  }
  void end() {
    over_ = true;
    --(started_ ? host_.counters_.running : host_.counters_.waiting);
    if (!started_) host_.counters_.waiting_tokens -= prompt_;
    const std::lock_guard lock(host_.mutex_);
    host_.ended_.push_back(key_);
  }

  EngineHost& host_;
  const uint64_t key_;
  const int64_t prompt_;
  std::shared_ptr<JobListener> listener_;
  const Clock::time_point came_ = Clock::now();
  std::atomic<runtime::RequestId> id_{0};
  bool expired_ = false;  // the engine's thread only
  // Written by the engine's thread, read by requests().
  std::atomic<bool> started_{false}, over_{false};
  std::atomic<int64_t> read_{0}, output_{0};
};

EngineHost::EngineHost(std::unique_ptr<StepEngine> engine, QueueLimits limits)
    : engine_(std::move(engine)), limits_(limits), thread_([this] { loop(); }) {}

EngineHost::~EngineHost() { stop(); }

void EngineHost::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

Answerable<runtime::RequestId> EngineHost::submit(runtime::Request request,
                                                  const ConversationFacts& facts,
                                                  std::shared_ptr<JobListener> listener) {
  ApiError busy;
  busy.kind = ApiError::Kind::kUnavailable;
  busy.message = "the engine has stopped";
  busy.retry_after = 30;
  if (!alive_) return busy;
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  ApiError full;
  full.kind = ApiError::Kind::kQueueFull;
  full.retry_after = 1;
  if (++counters_.waiting + counters_.running > limits_.requests) {
    --counters_.waiting;
    full.message = fmt::format("{} requests are running or waiting already", limits_.requests);
    return full;
  }
  const int64_t tokens_before = counters_.waiting_tokens.fetch_add(prompt);
  if (tokens_before > 0 && tokens_before > limits_.tokens - prompt) {
    counters_.waiting_tokens -= prompt;
    --counters_.waiting;
    full.message = fmt::format("prompts of {} tokens are waiting already", tokens_before);
    return full;
  }
  Tracker* tracker = nullptr;
  uint64_t key = 0;
  {
    const std::lock_guard lock(mutex_);
    key = ++last_key_;
    auto made = std::make_unique<Tracker>(*this, key, prompt, std::move(listener));
    tracker = made.get();
    trackers_.emplace(key, std::move(made));
  }
  auto id = engine_->submit(std::move(request), facts, *tracker);
  {
    const std::lock_guard lock(mutex_);
    if (!id.ok()) {
      trackers_.erase(key);
      --counters_.waiting;
      counters_.waiting_tokens -= prompt;
      return invalid_request(id.error());
    }
    // The engine died meanwhile and will not look at this request any more.
    if (!alive_ && trackers_.erase(key) > 0) return busy;
    if (const auto found = trackers_.find(key); found != trackers_.end())
      found->second->set_id(*id);
    work_ = true;
    settled_ = false;
  }
  wake_.notify_one();
  return *id;
}

void EngineHost::cancel(runtime::RequestId id) {
  engine_->cancel(id);
  {
    const std::lock_guard lock(mutex_);
    work_ = true;
    settled_ = false;
  }
  wake_.notify_one();
}

std::vector<RequestState> EngineHost::requests() const {
  const std::lock_guard lock(mutex_);
  std::vector<RequestState> states;
  for (const auto& [key, tracker] : trackers_) {
    if (!tracker->over()) states.push_back(tracker->state());
  }
  return states;
}

void EngineHost::pause() { paused_ = true; }

void EngineHost::resume() {
  {
    const std::lock_guard lock(mutex_);
    paused_ = false;
    work_ = true;
  }
  wake_.notify_one();
}

void EngineHost::note_step() {
  ++counters_.steps;
  const auto& bounds = EngineCounters::kStepBounds;
  const auto place = std::lower_bound(bounds.begin(), bounds.end(), step_tokens_) - bounds.begin();
  ++counters_.steps_by_tokens[static_cast<size_t>(place)];
  step_tokens_ = 0;
}

void EngineHost::loop() {
  // The disk tier's writer has one file at a time: it is looked after as often.
  constexpr auto kWhileSaving = std::chrono::milliseconds(5);
  while (true) {
    bool worked = false, saving = false;
    try {
      worked = !paused_ && engine_->step();
      if (worked) {
        note_step();
      } else {
        saving = engine_->save_some();
      }
    } catch (const std::exception& error) {
      // A broken promise inside the engine: its state cannot be trusted any more.
      alive_ = false;
      log_message(LogLevel::kError, fmt::format("the engine stopped: {}", error.what()));
      return fail_all("the engine stopped");
    }
    const auto look_again = expire();
    std::unique_lock lock(mutex_);
    for (const uint64_t key : ended_) trackers_.erase(key);
    ended_.clear();
    if (stopping_) break;
    if (worked) continue;
    settled_ = !work_ && !saving;
    const auto called = [this] { return work_ || stopping_; };
    if (saving) {
      wake_.wait_for(lock, kWhileSaving, called);
    } else if (look_again) {
      wake_.wait_until(lock, *look_again, called);
    } else {
      wake_.wait(lock, called);
    }
    work_ = false;
    if (stopping_) break;
  }
  fail_all("the server is going down");
}

void EngineHost::fail_all(const std::string& why) {
  std::map<uint64_t, std::unique_ptr<Tracker>> left;
  {
    const std::lock_guard lock(mutex_);
    left.swap(trackers_);
  }
  for (const auto& [key, tracker] : left) {
    if (!tracker->over()) tracker->on_failure(ApiError::Kind::kInternal, why);
  }
}

std::optional<EngineHost::Clock::time_point> EngineHost::expire() {
  if (!limits_.longest_wait && !limits_.longest_request) return std::nullopt;
  const auto now = Clock::now();
  std::optional<Clock::time_point> next;
  std::vector<Tracker*> late;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, tracker] : trackers_) {
      const auto end = tracker->end_of_time(limits_);
      if (!end) continue;
      if (*end <= now && tracker->id() != 0) {
        late.push_back(tracker.get());
        continue;
      }
      const auto look = std::max(*end, now + std::chrono::milliseconds(1));
      next = std::min(next.value_or(look), look);
    }
  }
  for (Tracker* tracker : late) {
    tracker->expire(limits_);
    engine_->cancel(tracker->id());
  }
  return next;
}

}  // namespace sluice::server
