#include "runtime/thought/thought_control.h"

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"

namespace sluice::runtime {

ThoughtControl::ThoughtControl(ThoughtOptions options, const std::vector<TokenId>& prompt,
                               int64_t max_tokens)
    : options_(std::move(options)), max_tokens_(max_tokens), detector_(options_.loop) {
  if (options_.close < 0) return;
  SLUICE_CHECK(std::find(options_.closing.begin(), options_.closing.end(), options_.close) !=
                   options_.closing.end(),
               "the closing sequence of {} tokens lacks the closer {}", options_.closing.size(),
               options_.close);
  // Counts from the last opener only, and only if no closer follows it.
  for (auto token = prompt.rbegin(); token != prompt.rend(); ++token) {
    if (*token == options_.close) return;
    if (*token == options_.open) {
      in_thought_ = true;
      thought_tokens_ = token - prompt.rbegin();
      break;
    }
  }
  if (in_thought_ && options_.budget >= 0 && thought_tokens_ >= options_.budget)
    start_forcing("budget");
}

void ThoughtControl::start_forcing(std::string reason) {
  if (next_forced_ || stop_reason_) return;
  next_forced_ = 0;
  stop_reason_ = std::move(reason);
}

std::optional<TokenId> ThoughtControl::forced() const {
  if (!next_forced_) return std::nullopt;
  // The first forced token waits until the model has finished its character.
  if (*next_forced_ == 0 && incomplete_utf8_suffix(tail_) > 0) return std::nullopt;
  return options_.closing[*next_forced_];
}

void ThoughtControl::push(TokenId token, std::string_view bytes) {
  const bool was_forced = forced() == token;
  ++sampled_;
  tail_ += bytes;
  if (tail_.size() > 4) tail_.erase(0, tail_.size() - 4);
  if (was_forced && ++*next_forced_ == options_.closing.size()) next_forced_.reset();

  if (!in_thought_) {
    // A thought that the model opens itself, first thing in its answer (old Qwen3 style).
    if (token == options_.open && options_.open >= 0 && sampled_ == 1) in_thought_ = true;
    return;
  }
  ++thought_tokens_;
  if (token == options_.close) {
    in_thought_ = false;
    if (!was_forced) next_forced_.reset();  // the model closed it itself during the message
    return;
  }
  if (was_forced) return;
  if (options_.break_loops) {
    detector_.push(token);
    if (detector_.confirmed()) start_forcing("loop");
  }
  if (options_.budget >= 0 && thought_tokens_ >= options_.budget) start_forcing("budget");
  const auto closing = static_cast<int64_t>(options_.closing.size());
  if (options_.reserve_answer_tokens > 0 &&
      max_tokens_ - sampled_ <= options_.reserve_answer_tokens + closing) {
    start_forcing("reserve");
  }
}

}  // namespace sluice::runtime
