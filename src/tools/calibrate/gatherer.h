// The tap of a calibration: adds each traced value to the statistics that wait for it.
#pragma once

#include <string>

#include "base/result.h"
#include "base/threads.h"
#include "model/trace.h"
#include "tools/calibrate/inputs.h"

namespace sluice::calibrate {

class Gatherer : public model::TraceSink {
 public:
  // `statistics` names what is wanted (empty_statistics, or a progress that goes on). Sums of a
  // column are made row by row, so they depend neither on threads nor on where a text was cut into
  // steps. All are borrowed.
  Gatherer(ops::Backend& backend, ThreadPool& pool, Statistics& statistics)
      : backend_(backend), pool_(pool), statistics_(statistics) {}

  void record(const std::string& name, const ops::View& value) override;

  // An error once a value was not finite: the sums are worth nothing then.
  Status status() const;

 private:
  ops::Backend& backend_;
  ThreadPool& pool_;
  Statistics& statistics_;
  std::string damaged_;  // the first value that was not finite
};

}  // namespace sluice::calibrate
