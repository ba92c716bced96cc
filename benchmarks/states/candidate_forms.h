// Ways to keep a saved recurrent state, those that are offered (runtime/cache/packed_state.h) and
// those that lost against them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ops/backend.h"

namespace sluice::bench {

struct CandidateForm {
  std::string name;
  double bytes = 0;  // of one layer
  // One layer's values (ops::RecurrentImage) as they come back.
  std::function<void(std::span<float> image)> degrade;
};

std::vector<CandidateForm> candidate_forms(const ops::RecurrentSpec& spec);

}  // namespace sluice::bench
