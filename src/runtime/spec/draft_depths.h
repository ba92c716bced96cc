// The depths of all running sequences: a fixed one, or what their controllers choose.
#pragma once

#include <functional>
#include <span>

#include "runtime/scheduler/scheduler.h"
#include "runtime/spec/depth_controller.h"
#include "runtime/spec/mtp_drafter.h"

namespace sluice::runtime {

using MillisecondClock = std::function<double()>;

class DraftDepths {
 public:
  // `most` drafts a step: always, or at most if adaptive. `clock` is asked only if adaptive.
  DraftDepths(int most, bool adaptive, MillisecondClock clock);

  void start(Sequence& sequence);
  // Around the parts of a step, in this order.
  void begin_step();
  void on_verified(const StepPlan& plan);  // forward pass and sampling are done
  void choose(std::span<KeptRows> kept);   // sets KeptRows::depth
  void on_drafted(std::span<const KeptRows> kept);

 private:
  const int most_;
  const bool adaptive_;
  const MillisecondClock clock_;
  StepCosts costs_;
  Acceptance shared_;  // of all sequences: what a new one begins with
  HeadHealth health_;
  double mark_ = 0;        // when the part of the step began that is being measured
  bool measured_ = false;  // the step reads no prompt
};

}  // namespace sluice::runtime
