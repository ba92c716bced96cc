// What a bench found, as text for people and as one JSON document.
#pragma once

#include <string>

#include "base/json.h"
#include "tools/bench/bench.h"

namespace sluice::tools {

// Under which conditions the figures hold.
struct BenchConditions {
  std::string model;  // as it was named
  std::string backend, instruction_set, activations, kv;
  std::string prefetch;  // BackendInfo's
  int threads = 1;
  int64_t steps = 0;  // timed in a repetition
  double load_seconds = 0;
};

std::string bench_text(const BenchConditions& conditions, const BenchResult& result);
Json bench_json(const BenchConditions& conditions, const BenchResult& result);

}  // namespace sluice::tools
