// A picture of a bench: a bar for each figure, as long as its share of the floor.
#pragma once

#include <string>

#include "tools/bench/bench_report.h"

namespace sluice::tools {

std::string bench_svg(const BenchConditions& conditions, const BenchResult& result);

}  // namespace sluice::tools
