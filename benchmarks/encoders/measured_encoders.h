// The encoders of sluice that are measured, each as `sluice quantize` uses it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "codec/encode.h"

namespace sluice::benchmarks {

struct MeasuredEncoder {
  std::string name;
  // Needs a value per column of how much the column matters.
  bool weighted = false;
  std::function<codec::OwnedMatrix(const codec::WeightSource& source,
                                   std::span<const float> importance)>
      encode;
};

// In the order of the tables.
std::vector<MeasuredEncoder> measured_encoders();

}  // namespace sluice::benchmarks
