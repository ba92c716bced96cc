// Any bytes as the progress of a calibration: refused, or statistics of the asked shape, all
// finite.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "tools/calibrate/progress.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace calibrate = sluice::calibrate;
  calibrate::Statistics empty;
  empty["a"].squares.resize(2);
  empty["b"];
  const auto progress =
      calibrate::parse_progress(std::as_bytes(std::span(data, size)), "fuzz.progress", "id", empty);
  if (!progress.ok()) return 0;
  if (progress->statistics.size() != 2) std::abort();
  for (const auto& [name, input] : progress->statistics) {
    if (input.squares.size() != empty.at(name).squares.size()) std::abort();
    if (!std::isfinite(input.amax) || input.amax < 0) std::abort();
    for (const double sum : input.squares) {
      if (!std::isfinite(sum) || sum < 0) std::abort();
    }
  }
  return 0;
}
