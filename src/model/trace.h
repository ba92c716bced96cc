// A tap on every intermediate of a forward pass, named as in ../shared/goldens.
#pragma once

#include <string>

#include "ops/backend.h"

namespace sluice::model {

// Called after each named value has been computed; the view is valid during the call only.
class TraceSink {
 public:
  virtual ~TraceSink() = default;
  virtual void record(const std::string& name, const ops::View& value) = 0;
};

}  // namespace sluice::model
