#include "server/choice_listener.h"

#include <fmt/format.h>

#include <utility>

namespace sluice::server {

ChoiceListener::ChoiceListener(int choice, std::shared_ptr<Mailbox<EngineEvent>> mailbox,
                               std::shared_ptr<Pace> pace, EngineHost& host, Metrics& metrics,
                               size_t most_waiting)
    : choice_(choice),
      mailbox_(std::move(mailbox)),
      pace_(std::move(pace)),
      host_(host),
      metrics_(metrics),
      most_waiting_(most_waiting) {}

void ChoiceListener::on_start(int64_t cached) {
  mailbox_->push({choice_, EngineEvent::Start{cached}});
}

void ChoiceListener::on_prompt_token(const runtime::SampledToken& token) {
  mailbox_->push({choice_, EngineEvent::PromptToken{token}});
}

void ChoiceListener::on_token(const runtime::TokenEvent& event) {
  if (cut_) return;
  const auto now = std::chrono::steady_clock::now();
  if (last_) metrics_.observe_token_gap(std::chrono::duration<double>(now - *last_).count());
  last_ = now;
  const size_t waiting = mailbox_->push({choice_, event.token});
  // The id may not be known yet while submit() returns; then the next token sees to it.
  if (waiting <= most_waiting_ || !pace_->writing || id_ == 0) return;
  cut_ = pace_->too_slow = true;
  EngineEvent::Failure failure;
  failure.kind = ApiError::Kind::kTimeout;
  failure.why = fmt::format("the client reads too slowly: {} tokens waited for it", waiting);
  mailbox_->push({choice_, std::move(failure)});
  host_.cancel(id_);
}

void ChoiceListener::on_finish(const runtime::RequestReport& report) {
  if (!cut_) mailbox_->push({choice_, report});
}

void ChoiceListener::on_failure(ApiError::Kind kind, const std::string& why) {
  if (!cut_) mailbox_->push({choice_, EngineEvent::Failure{kind, why}});
}

}  // namespace sluice::server
