// A format for each part of a model under a limit of bytes or of divergence, by measured
// sensitivity (docs/decisions/formats-under-a-budget.md).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/threads.h"
#include "tensor/matrix.h"
#include "tools/convert/source.h"
#include "tools/quantize/automatic_report.h"
#include "tools/quantize/build.h"

namespace sluice::quantize {

// One of the two.
struct AutomaticLimit {
  std::optional<uint64_t> bytes;     // of the weights' files, headers included
  std::optional<double> divergence;  // mean, estimated
};

// The mean divergence of the source with these matrices instead of its own, by role
// (model::BoundWeight), on a text of the caller's.
using MeasureDivergence =
    std::function<Result<double>(const std::map<std::string, EncodedMatrix>& replaced)>;
// Said before each of `total` probes; false stops.
using ProbeProgress = std::function<bool(size_t done, size_t total)>;

// Chooses among the formats of the family that `request` names and writes the choice into it. Parts
// are what engines fuse; the embedding of a GGUF and an untied head are parts as well, the draft
// head is none. Errors: a family of one format, or a limit that no choice keeps, with the figure
// (kUsage).
Result<AutomaticReport> choose_formats(const convert::Source& source, BuildRequest& request,
                                       const AutomaticLimit& limit,
                                       const MeasureDivergence& measure, ThreadPool& pool,
                                       const ProbeProgress& progress);

}  // namespace sluice::quantize
