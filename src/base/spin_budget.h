// How long a thread that waits for another one should spin before it sleeps.
#pragma once

#include <algorithm>

namespace sluice {

// Spinning covers the gap between two operations of a step (some microseconds). Where other work
// holds the cores, though, a spinning thread only keeps the one it waits for from running: so the
// budget halves with each wait that spun in vain and doubles with each that did not. Now and then a
// wait tries the most again, else a budget too short for any wait would stay so.
class SpinBudget {
 public:
  static constexpr int kMost = 20000;  // turns: tenths of a millisecond
  static constexpr int kFewest = 16;
  static constexpr int kTryEvery = 64;  // waits in vain

  // The turns that the next wait may spin.
  int turns() const { return trying() ? kMost : turns_; }

  void succeeded() {
    turns_ = trying() ? kMost : std::min(turns_ * 2, kMost);
    in_vain_ = 0;
  }

  void failed() {
    turns_ = std::max(turns_ / 2, kFewest);
    in_vain_ = trying() ? 0 : in_vain_ + 1;
  }

 private:
  bool trying() const { return in_vain_ + 1 == kTryEvery; }

  int turns_ = kMost;
  int in_vain_ = 0;  // since the last success or trial
};

}  // namespace sluice
