// A run's state on disk: weights, moments, and how far it is. One safetensors file, written beside
// and renamed, so that an interrupted write leaves the state before it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"
#include "tools/distill/dataset.h"
#include "tools/distill/optimizer.h"
#include "tools/distill/parameters.h"

namespace sluice::distill {

struct RunPosition {
  int64_t step = 0;    // steps done
  int64_t tokens = 0;  // tokens seen
  DataPosition data;
};

Status save_state(const std::filesystem::path& file, const ParameterSet& parameters,
                  const Moments& moments, const RunPosition& position);

// Fills parameters and moments, which must have the state's shapes, bit for bit.
Result<RunPosition> load_state(const std::filesystem::path& file, ParameterSet& parameters,
                               Moments& moments);

}  // namespace sluice::distill
