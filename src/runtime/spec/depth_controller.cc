#include "runtime/spec/depth_controller.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace sluice::runtime {
namespace {

constexpr int64_t kBelieved = 3;     // samples of a cost
constexpr double kNewest = 0.1;      // weight of the newest sample once there are many
constexpr double kAdvantage = 1.02;  // another depth has to be better by so much
constexpr int64_t kExcursion = 128;  // steps between them
constexpr int64_t kFirstQuiet = 64, kLastQuiet = 1024;  // steps to stay off
constexpr int kTrial = 4;  // steps with one draft each, to see whether they hold again

}  // namespace

// The first samples only lower the figure: a cold cache or a neighbour makes a step longer, nothing
// makes it shorter. Later ones move it, each by no more than to the double or the half.
void StepCosts::Measured::add(double sample) {
  ++samples;
  if (samples == 1) {
    ms = sample;
  } else if (samples <= kBelieved) {
    ms = std::min(ms, sample);
  } else {
    ms += kNewest * (std::clamp(sample, ms / 2, ms * 2) - ms);
  }
}

void StepCosts::on_verified(int64_t rows, double ms) {
  if (ms > 0) verified_[rows].add(ms);
}

void StepCosts::on_drafted(int passes, double ms) {
  if (passes == 0) {
    idle_.add(ms);
  } else {
    pass_.add(std::max(ms - idle_.ms, 0.0) / passes);
  }
}

int StepCosts::known() const {
  return static_cast<int>(std::count_if(verified_.begin(), verified_.end(), [](const auto& entry) {
    return entry.second.samples >= kBelieved;
  }));
}

double StepCosts::verify_ms(int64_t rows) const {
  if (verified_.empty()) return 1;
  auto above = verified_.lower_bound(rows);
  if (above != verified_.end() && above->first == rows) return above->second.ms;
  if (verified_.size() == 1) return verified_.begin()->second.ms;
  if (above == verified_.end()) --above;
  if (above == verified_.begin()) ++above;
  const auto below = std::prev(above);
  const double slope =
      (above->second.ms - below->second.ms) / static_cast<double>(above->first - below->first);
  // More rows never cost less; a line that says so is noise.
  const double ms =
      below->second.ms + std::max(slope, 0.0) * static_cast<double>(rows - below->first);
  return std::max(ms, below->second.ms / 4);
}

double StepCosts::draft_ms(int passes) const { return idle_.ms + pass_.ms * passes; }

Acceptance::Acceptance(int positions, double share, double weight, double memory)
    : positions_(static_cast<size_t>(positions)), memory_(memory) {
  forget(share, weight);
}

Acceptance::Acceptance(const Acceptance& like, double weight, double memory)
    : positions_(like.positions_), memory_(memory) {
  for (Position& position : positions_)
    position = {weight, weight * position.held / position.reached};
}

void Acceptance::forget(double share, double weight) {
  for (Position& position : positions_) position = {weight, weight * share};
}

void Acceptance::on_verified(int proposed, int held) {
  SLUICE_CHECK(held <= proposed && held >= 0, "{} of {} drafts held", held, proposed);
  // Position i was looked at only if all before it held.
  const int looked_at = std::min({proposed, held + 1, static_cast<int>(positions_.size())});
  for (int i = 0; i < looked_at; ++i) {
    Position& position = positions_[static_cast<size_t>(i)];
    position.reached = position.reached * memory_ + 1;
    position.held = position.held * memory_ + (i < held ? 1 : 0);
  }
}

double Acceptance::share(int position) const {
  const Position& p = positions_[static_cast<size_t>(position)];
  return p.held / p.reached;
}

double Acceptance::tokens(int depth) const {
  double expected = 1, all_held = 1;
  for (int i = 0; i < depth; ++i) {
    all_held *= share(i);
    expected += all_held;
  }
  return expected;
}

void HeadHealth::on_verified(int proposed, int held) {
  if (proposed == 0) return;
  first_.on_verified(1, held > 0 ? 1 : 0);
  ++seen_;
}

bool HeadHealth::newly_dead() {
  constexpr int64_t kEnough = 16;
  constexpr double kDead = 0.1;
  if (told_ || seen_ < kEnough || share() >= kDead) return false;
  return told_ = true;
}

DepthController::DepthController(int most, const Acceptance& shared)
    : most_(most), acceptance_(shared, 4, 0.96), quiet_(kFirstQuiet) {}

void DepthController::on_verified(int proposed, int held) {
  acceptance_.on_verified(std::min(proposed, most_), std::min(held, most_));
}

int DepthController::best(const StepCosts& costs, const Company& company) const {
  const auto rate = [&](int depth) {
    const double ms =
        costs.verify_ms(company.rows + 1 + depth) + costs.draft_ms(std::max(depth, company.passes));
    return (company.tokens + acceptance_.tokens(depth)) / ms;
  };
  int best = settled_;
  double most = rate(settled_) * kAdvantage;
  for (int depth = 0; depth <= most_; ++depth) {
    if (depth == settled_ || rate(depth) <= most) continue;
    best = depth;
    most = rate(depth);
  }
  return best;
}

int DepthController::choose(const StepCosts& costs, const Company& company) {
  ++steps_;
  // Two points make a line; before that there is nothing to compare.
  if (const int known = costs.known(); known < 2) return depth_ = std::min(known, most_);
  const int wanted = best(costs, company);
  if (off_) return depth_ = choose_while_off(wanted);
  settled_ = wanted;
  if (settled_ == 0) {
    off_ = true;
    steps_ = 0;
    return depth_ = 0;
  }
  depth_ = settled_;
  if (steps_ >= kExcursion) {
    steps_ = 0;
    depth_ = deeper_next_ ? std::min(settled_ + 1, most_) : settled_ - 1;
    deeper_next_ = !deeper_next_;
  }
  return depth_;
}

// `wanted`: what the figures say, which are those of the drafts before it went off, or of the
// trial.
int DepthController::choose_while_off(int wanted) {
  if (trial_ > 0) {
    if (--trial_ > 0) return 1;
    if (wanted > 0) {
      off_ = false;
      quiet_ = kFirstQuiet;
      steps_ = 0;
      return settled_ = wanted;
    }
    quiet_ = std::min(quiet_ * 2, kLastQuiet);
    steps_ = 0;
    return 0;
  }
  if (steps_ < quiet_) return 0;
  trial_ = kTrial;
  acceptance_.forget(0.5, 1);
  return 1;
}

}  // namespace sluice::runtime
