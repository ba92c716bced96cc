#include "runtime/thought/loop_detector.h"

#include <algorithm>

namespace sluice::runtime {

LoopDetector::LoopDetector(const LoopThresholds& thresholds)
    : thresholds_(thresholds), run_(static_cast<size_t>(thresholds.max_period), 0) {}

void LoopDetector::reset() { *this = LoopDetector(thresholds_); }

void LoopDetector::push(TokenId token) {
  tokens_.push_back(token);
  update_exact();
  update_near();
  const auto now = static_cast<int64_t>(tokens_.size());
  if (!alarm()) {
    alarm_since_.reset();
    return;
  }
  if (!alarm_since_) alarm_since_ = now;
  const int64_t wait = std::max(thresholds_.confirm, exact_period_.value_or(0));
  if (now - *alarm_since_ >= wait) confirmed_ = true;
}

void LoopDetector::update_exact() {
  exact_period_.reset();
  const auto size = static_cast<int64_t>(tokens_.size());
  const TokenId token = tokens_.back();
  for (int64_t period = 1; period <= thresholds_.max_period && period < size; ++period) {
    int64_t& run = run_[static_cast<size_t>(period - 1)];
    run = tokens_[static_cast<size_t>(size - 1 - period)] == token ? run + 1 : 0;
    const int64_t length = run + period;  // the repeated tail, its first period included
    if (!exact_period_ &&
        length >= std::max(thresholds_.min_repeats * period, thresholds_.min_length)) {
      exact_period_ = period;
    }
  }
}

void LoopDetector::update_near() {
  const auto size = static_cast<int64_t>(tokens_.size());
  covered_.push_back(false);
  if (size >= thresholds_.gram) {
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a over the ids
    for (int64_t i = size - thresholds_.gram; i < size; ++i) {
      hash = (hash ^ static_cast<uint32_t>(tokens_[static_cast<size_t>(i)])) * 0x100000001b3;
    }
    if (grams_[hash]++ >= thresholds_.gram_repeats) {
      for (int64_t i = size - thresholds_.gram; i < size; ++i) {
        if (covered_[static_cast<size_t>(i)]) continue;
        covered_[static_cast<size_t>(i)] = true;
        ++covered_in_window_;
      }
    }
  }
  if (size > thresholds_.window && covered_[static_cast<size_t>(size - 1 - thresholds_.window)])
    --covered_in_window_;
  near_ = size >= thresholds_.window &&
          static_cast<double>(covered_in_window_) >=
              thresholds_.near_share * static_cast<double>(thresholds_.window);
}

}  // namespace sluice::runtime
