// Pictures of a build that lie beside its report: the same numbers, to be seen at a glance.
#pragma once

#include <string>
#include <vector>

#include "tools/quantize/report.h"

namespace sluice::quantize {

struct BuildPlot {
  std::string name;   // of the file: "error_by_layer.svg"
  std::string words;  // in its place for those who do not see it
  std::string svg;
};

// Error of every matrix by layer and kind, size by format, and accepted drafts before and after
// where they were measured. A build of no matrices has no error picture.
std::vector<BuildPlot> build_plots(const BuildReport& report);

}  // namespace sluice::quantize
