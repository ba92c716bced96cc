#include "server/core/scripted_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_set>

namespace sluice::server {
namespace {

using Clock = std::chrono::steady_clock;
using runtime::FinishReason;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// One request being played.
struct Play {
  runtime::RequestId id = 0;
  runtime::Request request;
  const ScriptedAnswer* answer = nullptr;
  JobListener* listener = nullptr;

  size_t next = 0;   // of the script's ids
  size_t group = 0;  // of its draft groups
  int64_t sent = 0, limit = 0;
  std::optional<runtime::ThoughtControl> thought;
  std::unique_ptr<runtime::TokenMask> mask;
  bool forcing = false;
  Clock::time_point submitted, started, first_token, due;
  bool done = false;
};

class ScriptedEngine final : public StepEngine {
 public:
  ScriptedEngine(Script script, const tokenizer::Tokenizer& tokenizer,
                 std::vector<TokenId> stop_ids, const ScriptedShape& shape)
      : script_(std::move(script)),
        tokenizer_(tokenizer),
        stop_ids_(std::move(stop_ids)),
        shape_(shape) {}

  Result<runtime::RequestId> submit(runtime::Request request, const ConversationFacts& facts,
                                    JobListener& listener) override {
    SLUICE_TRY(runtime::check_sampling(request.sampling));
    Play play;
    play.answer = script_.choose(facts);
    if (play.answer == nullptr) return usage_error("script", "has no answer for this request");
    play.listener = &listener;
    play.request = std::move(request);
    play.submitted = play.started = play.first_token = Clock::now();
    const std::lock_guard lock(mutex_);
    play.id = ++last_id_;
    inbox_.push_back(std::move(play));
    return last_id_;
  }

  void cancel(runtime::RequestId id) override {
    const std::lock_guard lock(mutex_);
    cancelled_.insert(id);
  }

  bool step() override {
    admit();
    if (running_.empty()) return false;
    const Clock::time_point now = Clock::now();
    Clock::time_point soonest = Clock::time_point::max();
    bool played = false;
    for (Play& play : running_) {
      if (play.due <= now) {
        play_step(play);
        played = true;
      } else {
        soonest = std::min(soonest, play.due);
      }
    }
    std::erase_if(running_, [](const Play& play) { return play.done; });
    // Slow answers: sleep instead of spinning, but look for cancellations now and then.
    if (!played) {
      const auto most = now + std::chrono::milliseconds(5);
      std::this_thread::sleep_until(std::min(soonest, most));
    }
    return true;
  }

 private:
  void admit() {
    std::vector<Play> never_started;
    {
      const std::lock_guard lock(mutex_);
      for (auto play = inbox_.begin(); play != inbox_.end();) {
        if (!cancelled_.contains(play->id)) {
          ++play;
          continue;
        }
        never_started.push_back(std::move(*play));
        play = inbox_.erase(play);
      }
      for (Play& play : running_) {
        if (cancelled_.contains(play.id)) finish(play, FinishReason::kCancelled);
      }
      cancelled_.clear();
      std::erase_if(running_, [](const Play& play) { return play.done; });
      while (!inbox_.empty() && static_cast<int64_t>(running_.size()) < shape_.sequences) {
        running_.push_back(std::move(inbox_.front()));
        inbox_.pop_front();
        start(running_.back());
      }
    }
    for (Play& play : never_started) finish(play, FinishReason::kCancelled);
  }

  void start(Play& play) {
    play.started = Clock::now();
    play.due = play.started;
    const auto prompt = static_cast<int64_t>(play.request.prompt.size());
    play.limit = shape_.context - prompt;
    if (play.request.max_tokens > 0) play.limit = std::min(play.limit, play.request.max_tokens);
    if (play.request.thought)
      play.thought.emplace(*play.request.thought, play.request.prompt, play.limit);
    if (play.request.grammar) play.mask = play.request.grammar->begin();
    play.listener->on_start(0);
    play.listener->on_prompt(prompt, prompt);
    for (int64_t i = 1; i < prompt && play.request.prompt_logprobs >= 0; ++i) {
      const TokenId id = play.request.prompt[static_cast<size_t>(i)];
      play.listener->on_prompt_token({id, 0, {{id, 0}}});
    }
  }

  // What one step of the real engine gives: a token, or as many as were drafted and accepted.
  void play_step(Play& play) {
    int64_t count = 1;
    if (!play.answer->draft_groups.empty())
      count = play.answer->draft_groups[play.group++ % play.answer->draft_groups.size()];
    play.due = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                  std::chrono::duration<double, std::milli>(play.answer->step_ms));
    for (; count > 0 && !play.done; --count) play_token(play);
  }

  void play_token(Play& play) {
    if (play.answer->fail_after && play.sent >= *play.answer->fail_after) {
      play.done = true;
      play.listener->on_failure(ApiError::Kind::kInternal,
                                fmt::format("the script fails after {} tokens", play.sent));
      return;
    }
    const auto forced = play.thought ? play.thought->forced() : std::nullopt;
    if (forced && !play.forcing) skip_thought(play);
    play.forcing = forced.has_value();
    if (!forced && play.next >= play.answer->ids.size()) return finish(play, FinishReason::kLength);
    runtime::TokenEvent event;
    event.forced = forced.has_value();
    event.token.id = forced ? *forced : play.answer->ids[play.next++];
    if (play.mask && !play.mask->accept(event.token.id) && !forced) {
      play.done = true;
      play.listener->on_failure(
          ApiError::Kind::kInternal,
          fmt::format("the script's token {} is not what the request allows", play.sent));
      return;
    }
    if (play.request.sampling.logprobs > 0) event.token.top.push_back({event.token.id, 0});
    if (play.sent++ == 0) play.first_token = Clock::now();
    if (play.thought) play.thought->push(event.token.id, tokenizer_.bytes(event.token.id));
    play.listener->on_token(event);

    const auto contains = [&](const std::vector<TokenId>& ids) {
      return std::find(ids.begin(), ids.end(), event.token.id) != ids.end();
    };
    if (contains(play.request.stop_ids) || (!play.request.ignore_eos && contains(stop_ids_))) {
      finish(play, FinishReason::kStop, event.token.id);
    } else if (play.mask && play.mask->complete()) {
      finish(play, FinishReason::kStop);
    } else if (play.sent >= play.limit) {
      finish(play, FinishReason::kLength);
    }
  }

  // The forced tokens stand for the rest of the scripted thought.
  void skip_thought(Play& play) {
    const auto& ids = play.answer->ids;
    const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(play.next);
    auto close = std::find(begin, ids.end(), play.request.thought->close);
    if (close == ids.end()) {
      // An answer that is all thought: only its end of turn is left to play.
      play.next = ids.size() - (ids.empty() || play.next == ids.size() ? 0 : 1);
      return;
    }
    for (++close; close != ids.end(); ++close) {
      const std::string_view bytes = tokenizer_.bytes(*close);
      if (bytes.empty() || bytes.find_first_not_of("\n") != std::string_view::npos) break;
    }
    play.next = static_cast<size_t>(close - ids.begin());
  }

  void finish(Play& play, FinishReason reason, std::optional<TokenId> stop_id = std::nullopt) {
    if (play.done) return;
    play.done = true;
    const Clock::time_point now = Clock::now();
    runtime::RequestReport report;
    report.finish = reason;
    report.stop_id = stop_id;
    report.prompt_tokens = static_cast<int64_t>(play.request.prompt.size());
    report.output_tokens = play.sent;
    report.queue_ms = milliseconds(play.submitted, play.started);
    if (play.sent > 0) {
      report.prompt_ms = milliseconds(play.started, play.first_token);
      report.first_token_ms = milliseconds(play.submitted, play.first_token);
      report.decode_ms = milliseconds(play.first_token, now);
    }
    if (play.thought) {
      report.thought_tokens = play.thought->thought_tokens();
      report.thought_stop = play.thought->stop_reason();
    }
    play.listener->on_finish(report);
  }

  const Script script_;
  const tokenizer::Tokenizer& tokenizer_;
  const std::vector<TokenId> stop_ids_;
  const ScriptedShape shape_;
  std::vector<Play> running_;  // the engine's thread only

  std::mutex mutex_;  // guards what is below
  std::deque<Play> inbox_;
  std::unordered_set<runtime::RequestId> cancelled_;
  runtime::RequestId last_id_ = 0;
};

}  // namespace

std::unique_ptr<StepEngine> make_scripted_engine(Script script,
                                                 const tokenizer::Tokenizer& tokenizer,
                                                 std::vector<TokenId> stop_ids,
                                                 const ScriptedShape& shape) {
  return std::make_unique<ScriptedEngine>(std::move(script), tokenizer, std::move(stop_ids), shape);
}

}  // namespace sluice::server
